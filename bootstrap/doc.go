// Package bootstrap puts the parts together. It is the only place that knows fx, the
// database drivers and the environment: [Settings] are what an operator sets,
// [Module] is trustpub inside a host's fx application, and [Serve] runs the
// stand-alone server.
package bootstrap
