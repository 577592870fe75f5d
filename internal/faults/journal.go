package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// The kinds of requests in a journal.
const (
	kindExchange = "exchange"
	kindRevoke   = "revoke"
)

// entry is one line of the journal: a request that is about to be sent, or what became
// of it.
type entry struct {
	// ID joins the two lines of a request. Each attempt is a request of its own.
	ID int64 `json:"id"`
	// At is when the line was written.
	At time.Time `json:"at"`
	// Answered tells the second line from the first.
	Answered bool `json:"answered"`
	// Kind and URL say what was sent, and where.
	Kind string `json:"kind"`
	URL  string `json:"url"`
	// JTI is that of the ID token that is exchanged.
	JTI string `json:"jti,omitempty"`
	// Token is the SHA-256 of the access token that was received, or is revoked.
	Token []byte `json:"token,omitempty"`
	// Packages are those that the answer says the token covers, as ECOSYSTEM/NAME.
	Packages []string `json:"packages,omitempty"`
	// Status is that of the answer, 0 when there was none, and Code its error code.
	Status int    `json:"status,omitempty"`
	Code   string `json:"code,omitempty"`
	// Error is what went wrong when there was no answer.
	Error string `json:"error,omitempty"`
}

// journal is what a client did and saw, in a file that has each line before the next
// thing happens. It is safe for concurrent use.
type journal struct {
	mu     sync.Mutex
	file   *os.File
	nextID atomic.Int64
}

func newJournal(path string) (*journal, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	return &journal{file: file}, nil
}

// write hands the line to the operating system before it returns.
func (j *journal) write(e entry) error {
	e.At = time.Now()
	line, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encode journal: %w", err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	_, err = j.file.Write(append(line, '\n'))
	if err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	return nil
}

// sending writes the line before a request and returns its ID.
func (j *journal) sending(e entry) (int64, error) {
	e.ID = j.nextID.Add(1)
	return e.ID, j.write(e)
}

func (j *journal) close() error { return j.file.Close() }

// attempt is a request with its two lines put together.
type attempt struct {
	entry

	sent time.Time
	// known is false where there is no second line, or one without an answer.
	known bool
}

// unknownOutcome reports that the server may or may not have done what it was asked:
// there was no answer, or one that says so.
func (a attempt) unknownOutcome() bool { return !a.known || a.Status >= 500 }

// readJournal reads a journal, in the order of the first lines.
func readJournal(path string) ([]attempt, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read journal: %w", err)
	}
	var attempts []attempt
	position := map[int64]int{}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		var e entry
		err = json.Unmarshal(lines.Bytes(), &e)
		if err != nil {
			return nil, fmt.Errorf("decode journal: %w", err)
		}
		i, begun := position[e.ID]
		switch {
		case !e.Answered && !begun:
			position[e.ID] = len(attempts)
			attempts = append(attempts, attempt{entry: e, sent: e.At})
		case e.Answered && begun:
			attempts[i].entry, attempts[i].known = e, e.Error == ""
		default:
			return nil, errors.New("the journal has an answer without a request, or a request twice")
		}
	}
	return attempts, lines.Err()
}
