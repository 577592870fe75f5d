package postgres

// IsTransient is for the tests, as no server gives all these errors on demand.
var IsTransient = isTransient
