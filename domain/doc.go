// Package domain is what trusted publishing is, apart from any technology: the
// claims of a verified CI identity, the publisher configs that say which
// workload a package trusts, the matching of the two, and the short-lived access
// token that comes of a match.
//
// It imports the standard library only, does no I/O and reads no clock: whatever
// a rule needs is an argument, so every rule can be tested without a fake.
package domain
