package main

import "context"

// scenario is a fault, and what must hold in spite of it.
type scenario struct {
	name  string
	shows string
	// short and long are how often the fault is made.
	short, long int
	play        func(ctx context.Context, s *stage, n int) error
	// byHand keeps it from the short form, unless it is named: its verdict depends on
	// how fast the machine is and on what else it does.
	byHand bool
}

func (s scenario) count(long bool) int {
	if long {
		return s.long
	}
	return s.short
}

// scenarios returns all of them, in the order in which they are played.
func scenarios() []scenario {
	return []scenario{
		{"server-killed-sqlite", "the server is killed under load, on SQLite, and ready again within 2 s", 5, 50, serverKilledSQLite, false},
		{"server-killed-postgres", "the server is killed under load, on PostgreSQL, and ready again within 2 s", 5, 50, serverKilledPostgres, false},
		{"database-killed", "PostgreSQL is killed under load and restarted: 503 in between, first success within 5 s, same server", 3, 10, databaseKilled, false},
		{"database-stuck", "PostgreSQL is cut off, slow, or locked: answers within 5 s, no pile-up, as before within 10 s", 1, 5, databaseStuck, false},
		{"statement-fails", "statements fail: retried or answered 503, never called used, and the ID token is good afterwards", 1, 5, statementsFail, false},
		{"standby-frozen", "commits that wait for a frozen standby are cancelled, and the primary is lost: no answer 200 was lost", 2, 10, standbyFrozen, false},
		{"disk-full", "the disk is full, on SQLite: 503, nothing is lost, recovers by itself", 3, 10, diskFull, false},
		{"server-terminated", "replicas are stopped in turn behind a client that retries once: nothing is cut off, nothing fails twice", 4, 20, terminated, false},
		{"started-together", "three replicas start at once on an empty database: all ready, each migration applied once", 3, 20, startedTogether, false},
		{"killed-migrating", "a replica is killed in the middle of a migration: others finish it", 6, 30, killedMigrating, false},
		{"cluster-several-hosts", "nodes of a highly available PostgreSQL are killed, frozen, switched over and lost, with all of them in the URL: nothing acknowledged is lost, first success within 30 s, same server", 2, 6, clusterBySeveralHosts, false},
		{"cluster-proxy", "the same with HAProxy in front", 1, 6, clusterByProxy, false},
		{"hostile-issuers", "issuers are down, hang, drip, send 100 MB or nonsense: known keys go on, a fetch per pause at most, flat memory; keys come and go in time", 9, 10, hostileIssuers, false},
		{"http-abuse", "clients send slowly, endlessly, too much or ambiguously, or idle: a valid client is served throughout", 7, 7, httpAbuse, false},
		{"overload", "ten times as many connections as at full load: 99 of 100 refusals come within 50 ms, 80 % of the throughput remain", 1, 3, overload, true},
	}
}
