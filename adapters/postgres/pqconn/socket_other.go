//go:build !linux

package pqconn

import "net"

// listensFor says no, as there is no one way of telling.
func listensFor(*net.UnixConn, int64) bool { return false }
