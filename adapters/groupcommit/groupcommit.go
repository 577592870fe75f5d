// Package groupcommit lets concurrent calls share one piece of work, such as the
// round trip and the commit of a database statement. It implements no port; stores
// use it.
//
// There is no timer, and nothing is held back to wait for more: a call that finds less
// at work than may be at a time, which is one unless set, starts at once and alone, as if
// the package were not there. What arrives while that works queues up, and goes together
// when some of it is done.
package groupcommit

import (
	"context"
	"errors"
	"sync"
	"time"
)

// ErrAlone is how a shared piece of work says of one of its calls that it has no
// answer for it: the call is then made by itself.
var ErrAlone = errors.New("groupcommit: to be done alone")

// Answer is what a call returns.
type Answer[A any] struct {
	Value A
	Err   error
}

// Config holds what a [Group] needs. Alone and Together are required.
type Config[Q, A any] struct {
	// Alone answers one call, within its own context.
	Alone func(ctx context.Context, question Q) (A, error)
	// Together answers several calls at once, each by itself: the answers are in the
	// order of the questions. An error of Together, or an answer whose Err is ErrAlone,
	// is nobody's answer: each such call is made by Alone, so Alone must cope with what
	// Together may have done. ctx has the values of one of the calls, is not cancelled
	// with any of them, and ends when the last of them would have given up.
	Together func(ctx context.Context, questions []Q) ([]Answer[A], error)
	// AtOnce is how many pieces of work are under way before calls queue up. Zero is 1,
	// with which most calls go together; with more, some are worked on while others wait
	// for an answer from elsewhere.
	AtOnce int
	// Most is the largest number of calls that go together. Zero is 128.
	Most int
	// Patience is how long a piece of work that is under way holds others back. When it
	// takes longer, on a connection that has died for instance, the next call begins
	// another beside it. Zero is 250 ms.
	Patience time.Duration
	// Timeout bounds a shared piece of work in which a call has no deadline of its own.
	// Zero is 10 s.
	Timeout time.Duration
	// Observe is told how many calls went together, 1 included, before they do. ctx has
	// the values of the call whose values the work has. nil is told nothing.
	Observe func(ctx context.Context, size int)
	// Now is the clock. nil is time.Now.
	Now func() time.Time
}

// Group answers calls. It is safe for concurrent use.
type Group[Q, A any] struct {
	cfg Config[Q, A]

	mu      sync.Mutex
	running int
	began   time.Time // When the newest piece of work did.
	queue   []*call[Q, A]
}

// call is one that waits.
type call[Q, A any] struct {
	ctx      context.Context //nolint:containedctx // It is that of the caller, who waits.
	question Q
	answer   chan Answer[A]
}

// New fills in defaults and returns the group.
func New[Q, A any](cfg Config[Q, A]) *Group[Q, A] {
	if cfg.Most <= 0 {
		cfg.Most = 128
	}
	if cfg.AtOnce <= 0 {
		cfg.AtOnce = 1
	}
	if cfg.Patience <= 0 {
		cfg.Patience = 250 * time.Millisecond
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = 10 * time.Second
	}
	if cfg.Observe == nil {
		cfg.Observe = func(context.Context, int) {}
	}
	return &Group[Q, A]{cfg: cfg}
}

// Do answers the question. When ctx ends first, its error is returned at once; a
// question that had not been taken yet is then never asked, and of one that had,
// nobody learns the answer.
func (g *Group[Q, A]) Do(ctx context.Context, question Q) (A, error) {
	waiting := g.enter(ctx, question)
	if waiting == nil {
		defer g.next()
		return g.alone(ctx, question)
	}
	select {
	case answer := <-waiting.answer:
		if errors.Is(answer.Err, ErrAlone) {
			return g.alone(ctx, question)
		}
		return answer.Value, answer.Err
	case <-ctx.Done():
		var none A
		return none, ctx.Err()
	}
}

func (g *Group[Q, A]) alone(ctx context.Context, question Q) (A, error) {
	g.cfg.Observe(ctx, 1)
	return g.cfg.Alone(ctx, question)
}

// enter puts the question in the queue, or returns nil when its turn is now.
func (g *Group[Q, A]) enter(ctx context.Context, question Q) *call[Q, A] {
	g.mu.Lock()
	defer g.mu.Unlock()
	if now := g.cfg.Now(); g.running < g.cfg.AtOnce || now.Sub(g.began) > g.cfg.Patience {
		g.running++
		g.began = now
		return nil
	}
	waiting := &call[Q, A]{ctx: ctx, question: question, answer: make(chan Answer[A], 1)}
	g.queue = append(g.queue, waiting)
	return waiting
}

// next ends a round, and begins another when calls wait.
func (g *Group[Q, A]) next() {
	if calls := g.take(); len(calls) > 0 {
		go func() {
			defer g.next()
			g.round(calls)
		}()
	}
}

// take removes the calls of the next round from the queue. Those whose callers have
// gone are dropped. None means that the round is over.
func (g *Group[Q, A]) take() []*call[Q, A] {
	g.mu.Lock()
	defer g.mu.Unlock()
	var calls []*call[Q, A]
	taken := 0
	for ; taken < len(g.queue) && len(calls) < g.cfg.Most; taken++ {
		if g.queue[taken].ctx.Err() == nil {
			calls = append(calls, g.queue[taken])
		}
	}
	g.queue = append(g.queue[:0:0], g.queue[taken:]...)
	if len(calls) == 0 {
		g.running--
	} else {
		g.began = g.cfg.Now()
	}
	return calls
}

// round answers the calls.
func (g *Group[Q, A]) round(calls []*call[Q, A]) {
	if len(calls) == 1 {
		value, err := g.alone(calls[0].ctx, calls[0].question)
		calls[0].answer <- Answer[A]{Value: value, Err: err}
		return
	}
	ctx, cancel := g.context(calls)
	defer cancel()
	g.cfg.Observe(ctx, len(calls))
	questions := make([]Q, len(calls))
	for i, c := range calls {
		questions[i] = c.question
	}
	answers, err := g.cfg.Together(ctx, questions)
	for i, c := range calls {
		if err != nil || i >= len(answers) {
			c.answer <- Answer[A]{Err: ErrAlone}
			continue
		}
		c.answer <- answers[i]
	}
}

// context returns the context of a shared piece of work.
func (g *Group[Q, A]) context(calls []*call[Q, A]) (context.Context, context.CancelFunc) {
	ctx := context.WithoutCancel(calls[0].ctx)
	var latest time.Time
	for _, c := range calls {
		deadline, ok := c.ctx.Deadline()
		if !ok {
			return context.WithTimeout(ctx, g.cfg.Timeout)
		}
		if deadline.After(latest) {
			latest = deadline
		}
	}
	return context.WithDeadline(ctx, latest)
}
