package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"runtime/debug"
	"strconv"
	"time"
)

// requestTimeout bounds a request, so that a server that hangs shows in the table.
const requestTimeout = 30 * time.Second

// client has one connection. It takes the CPU of the same cores that the server is
// measured on, so it speaks HTTP/1.1 by itself, since net/http's client takes many
// times as much, and allocates nothing for a request that succeeds.
type client struct {
	address string
	// timeout is how long an answer may take. It may take a fifth more, as the deadline
	// of the connection is moved that rarely.
	timeout time.Duration
	conn    net.Conn
	reader  *bufio.Reader
	// deadline is the connection's.
	deadline time.Time
	// request and body are used again for each request, the latter for the answers that
	// do not fit into the reader.
	request, body []byte
	refusals      map[string]int
}

// lean makes the program take little CPU beside the system's, until the function that
// it returns is called. A single core is enough for what is driven, and there are no
// other threads to be woken and put to sleep. Without garbage there is nothing to
// collect; the limit is for what is not foreseen.
func lean() (restore func()) {
	cores := runtime.GOMAXPROCS(1)
	percent := debug.SetGCPercent(-1)
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	limit := debug.SetMemoryLimit(int64(memory.Sys) + 1<<30)
	return func() {
		debug.SetMemoryLimit(limit)
		debug.SetGCPercent(percent)
		runtime.GOMAXPROCS(cores)
	}
}

func (c *client) hangUp() {
	if c.conn != nil {
		_ = c.conn.Close()
	}
	c.conn = nil
}

// send sends request i, reports whether it was answered with 200, and notes what it was
// answered with otherwise. Nothing is sent twice: a request whose answer was lost may
// have had its effect.
func (c *client) send(p *plan, i int) bool {
	c.request = p.request(c.request[:0], i)
	status, body, err := c.roundTrip(c.request)
	switch {
	case err != nil:
		c.hangUp()
		c.refuse("no answer: " + err.Error())
	case status != http.StatusOK:
		c.refuse(strconv.Itoa(status) + " " + codeOf(body))
	default:
		if p.answered != nil {
			p.answered(i, body)
		}
		return true
	}
	return false
}

func (c *client) refuse(why string) {
	if c.refusals == nil {
		c.refusals = map[string]int{}
	}
	c.refusals[why]++
}

// roundTrip sends a request and returns the answer. The body is only valid until the
// next call.
func (c *client) roundTrip(request []byte) (status int, body []byte, err error) {
	if c.conn == nil {
		c.conn, err = net.DialTimeout("tcp", c.address, c.timeout)
		if err != nil {
			return 0, nil, fmt.Errorf("connect: %w", err)
		}
		c.reader = bufio.NewReaderSize(c.conn, 8<<10)
		c.deadline = time.Time{}
	}
	if now := time.Now(); c.deadline.Sub(now) < c.timeout {
		c.deadline = now.Add(c.timeout + c.timeout/5)
		err = c.conn.SetDeadline(c.deadline)
		if err != nil {
			return 0, nil, err
		}
	}
	_, err = c.conn.Write(request)
	if err != nil {
		return 0, nil, fmt.Errorf("send: %w", err)
	}
	status, body, err = c.answer()
	if err != nil {
		return 0, nil, fmt.Errorf("read: %w", err)
	}
	return status, body, nil
}

// answer reads an answer: by hand when its head came in one piece and says how long the
// body is, as those of the servers do, and with net/http otherwise.
func (c *client) answer() (status int, body []byte, err error) {
	_, err = c.reader.Peek(1)
	if err == io.EOF {
		return 0, nil, io.ErrUnexpectedEOF
	}
	if err != nil {
		return 0, nil, err
	}
	read, err := c.reader.Peek(c.reader.Buffered())
	if err != nil {
		return 0, nil, err
	}
	h, ok := parseHead(read)
	if !ok {
		return c.answerByNetHTTP()
	}
	if whole := h.size + h.length; whole <= len(read) {
		body = read[h.size:whole]
		_, err = c.reader.Discard(whole) // It leaves the bytes where they are.
	} else {
		_, err = c.reader.Discard(h.size)
		if err == nil {
			c.body = append(c.body[:0], make([]byte, h.length)...)
			body = c.body
			_, err = io.ReadFull(c.reader, body)
		}
	}
	if err != nil {
		return 0, nil, err
	}
	if h.last {
		c.hangUp()
	}
	return h.status, body, nil
}

func (c *client) answerByNetHTTP() (status int, body []byte, err error) {
	response, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = response.Body.Close() }()
	body, err = io.ReadAll(response.Body)
	if err != nil {
		return 0, nil, err
	}
	if response.Close {
		c.hangUp()
	}
	return response.StatusCode, body, nil
}

// head is what matters of an answer's status line and header fields.
type head struct {
	status int
	// size is that of the head, length that of the body.
	size, length int
	// last says that the server closes the connection.
	last bool
}

// longest is the longest body that is read by hand.
const longest = 1 << 20

// parseHead reads the head of an answer. It is not ok when the head is not all there, or
// holds anything that changes how long the body is but one plain Content-Length.
func parseHead(text []byte) (h head, ok bool) {
	const version = "HTTP/1.1 "
	end := bytes.Index(text, []byte("\r\n\r\n"))
	if end < len(version)+3 || string(text[:len(version)]) != version {
		return h, false
	}
	h.size, h.length = end+4, -1
	line, rest, _ := bytes.Cut(text[:end], []byte("\r\n"))
	var isNumber bool
	h.status, isNumber = number(line[len(version) : len(version)+3])
	// Those below 200 come before an answer, and 204 and 304 have no body whatever they say.
	if !isNumber || h.status < 200 || h.status == http.StatusNoContent || h.status == http.StatusNotModified {
		return h, false
	}
	for len(rest) > 0 {
		line, rest, _ = bytes.Cut(rest, []byte("\r\n"))
		name, value, _ := bytes.Cut(line, []byte(":"))
		switch {
		case isName(name, "content-length"):
			before := h.length
			h.length, isNumber = number(bytes.TrimSpace(value))
			if before >= 0 || !isNumber {
				return h, false
			}
		case isName(name, "connection"):
			h.last = bytes.EqualFold(bytes.TrimSpace(value), []byte("close"))
		case isName(name, "transfer-encoding"):
			return h, false
		}
	}
	return h, h.length >= 0
}

// isName reports whether name is the lower-case one, in any case.
func isName(name []byte, lower string) bool {
	return len(name) == len(lower) && bytes.EqualFold(name, []byte(lower))
}

// number reads a decimal number up to longest.
func number(digits []byte) (n int, ok bool) {
	for _, d := range digits {
		if d < '0' || d > '9' || n > longest {
			return 0, false
		}
		n = 10*n + int(d-'0')
	}
	return n, len(digits) > 0 && n <= longest
}
