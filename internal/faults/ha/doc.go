// Package ha runs a highly available PostgreSQL on one machine, to be broken: three
// servers under Patroni, three members of etcd, and HAProxy in front, from the
// system's packages and on loopback addresses, with synchronous replication.
//
// docs/scaling.md quotes the two configuration files, which are those that run here.
package ha
