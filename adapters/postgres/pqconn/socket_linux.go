package pqconn

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"syscall"
)

// listensFor reports whether the process that listens on the other end of a Unix
// socket is the parent of the process backend, as PostgreSQL is of those that serve a
// connection. It says no where it can't tell, as between containers.
func listensFor(wire *net.UnixConn, backend int64) bool {
	raw, err := wire.SyscallConn()
	if err != nil {
		return false
	}
	var listener *syscall.Ucred
	var optionErr error
	err = raw.Control(func(fd uintptr) {
		listener, optionErr = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED) // unix(7)
	})
	if err != nil || optionErr != nil {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", backend))
	if err != nil {
		return false
	}
	// "PID (COMMAND) STATE PPID …", where COMMAND may hold anything; see proc(5).
	var state string
	var parent int32
	_, err = fmt.Sscan(string(stat[bytes.LastIndexByte(stat, ')')+1:]), &state, &parent)
	return err == nil && parent != 0 && parent == listener.Pid
}
