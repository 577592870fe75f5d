package postgrestest

// FindBinaries is for the tests, which have no machine without a server.
var FindBinaries = findBinaries
