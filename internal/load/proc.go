package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of CPU times in /proc, which is 10 ms on every Linux that Go runs on.
const tick = 10 * time.Millisecond

// process is what /proc says of one.
type process struct {
	parent int
	// own is the CPU time of the process, ended that of its children that have ended.
	own, ended time.Duration
}

// readProcess reads /proc/PID/stat (proc(5)).
func readProcess(pid int) (process, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return process{}, err
	}
	// "PID (COMMAND) STATE PPID …", where COMMAND may hold anything.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 15 {
		return process{}, fmt.Errorf("/proc/%d/stat has too few fields", pid)
	}
	number := func(i int) (n int) {
		if err == nil {
			n, err = strconv.Atoi(fields[i])
		}
		return n
	}
	p := process{
		parent: number(1),
		own:    tick * time.Duration(number(11)+number(12)),
		ended:  tick * time.Duration(number(13)+number(14)),
	}
	return p, err
}

// cpuOf returns the CPU time of the processes, without their children.
func cpuOf(pids []int) (time.Duration, error) {
	var sum time.Duration
	for _, pid := range pids {
		p, err := readProcess(pid)
		if err != nil {
			return 0, err
		}
		sum += p.own
	}
	return sum, nil
}

// cpuOfFamily returns the CPU time of a process and of its children, those that have
// ended included: PostgreSQL has one for each connection.
func cpuOfFamily(pid int) (time.Duration, error) {
	if pid == 0 {
		return 0, nil
	}
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, err
	}
	parent, err := readProcess(pid)
	if err != nil {
		return 0, err
	}
	sum := parent.own + parent.ended
	for _, file := range files {
		child, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil {
			continue
		}
		p, err := readProcess(child)
		if err == nil && p.parent == pid {
			sum += p.own
		}
	}
	return sum, nil
}

// peakMemory returns the most resident memory that one of the processes had, in MiB.
func peakMemory(pids []int) (float64, error) {
	var most float64
	for _, pid := range pids {
		mib, err := memory(pid, "VmHWM")
		if err != nil {
			return 0, err
		}
		most = max(most, mib)
	}
	return most, nil
}

// sumMemory returns the resident memory that the processes have together, in MiB.
func sumMemory(pids []int) (sum float64, err error) {
	for _, pid := range pids {
		mib, err := memory(pid, "VmRSS")
		if err != nil {
			return 0, err
		}
		sum += mib
	}
	return sum, nil
}

// memory returns a figure of /proc/PID/status (proc(5)) in MiB.
func memory(pid int, name string) (float64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	_, after, found := strings.Cut(string(status), "\n"+name+":")
	if !found {
		return 0, fmt.Errorf("/proc/%d/status has no %s", pid, name)
	}
	kib, err := strconv.ParseFloat(strings.Fields(after)[0], 64)
	return kib / 1024, err
}
