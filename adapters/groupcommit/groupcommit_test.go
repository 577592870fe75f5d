package groupcommit_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/adapters/groupcommit"
)

var errRefused = errors.New("refused")

// desk answers each question with itself. It writes down which went together.
type desk struct {
	mu     sync.Mutex
	alone  []int
	rounds [][]int
	// work is called before an answer, with the context of the work.
	work func(ctx context.Context, questions ...int) error
	// answer is what becomes of one question of several.
	answer func(question int) groupcommit.Answer[int]
}

func newDesk(work func(ctx context.Context, questions ...int) error) *desk {
	return &desk{work: work, answer: func(q int) groupcommit.Answer[int] { return groupcommit.Answer[int]{Value: q} }}
}

func (d *desk) one(ctx context.Context, question int) (int, error) {
	d.mu.Lock()
	d.alone = append(d.alone, question)
	d.mu.Unlock()
	return question, d.work(ctx, question)
}

func (d *desk) many(ctx context.Context, questions []int) ([]groupcommit.Answer[int], error) {
	d.mu.Lock()
	d.rounds = append(d.rounds, slices.Clone(questions))
	d.mu.Unlock()
	err := d.work(ctx, questions...)
	if err != nil {
		return nil, err
	}
	answers := make([]groupcommit.Answer[int], 0, len(questions))
	for _, q := range questions {
		answers = append(answers, d.answer(q))
	}
	return answers, nil
}

func (d *desk) group(cfg groupcommit.Config[int, int]) *groupcommit.Group[int, int] {
	cfg.Alone, cfg.Together = d.one, d.many
	return groupcommit.New(cfg)
}

// takes is work that lasts a while, or until its context ends.
func takes(duration time.Duration) func(context.Context, ...int) error {
	return func(ctx context.Context, _ ...int) error {
		select {
		case <-time.After(duration):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

type outcome struct {
	value int
	err   error
	after time.Duration
}

// ask asks the questions 0, 1, 2, … with the contexts, one right after the other.
func ask(group *groupcommit.Group[int, int], contexts ...context.Context) []outcome {
	begin := time.Now()
	outcomes := make([]outcome, len(contexts))
	var wg sync.WaitGroup
	for i, ctx := range contexts {
		wg.Go(func() {
			value, err := group.Do(ctx, i)
			outcomes[i] = outcome{value, err, time.Since(begin)}
		})
		synctest.Wait() // It is at work or in the queue.
	}
	wg.Wait()
	return outcomes
}

func contexts(ctx context.Context, n int) []context.Context {
	return slices.Repeat([]context.Context{ctx}, n)
}

func TestACallThatFindsNobodyAtWorkGoesAloneAndAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(takes(time.Second))
		group := d.group(groupcommit.Config[int, int]{})
		for range 3 {
			require.Equal(t, []outcome{{0, nil, time.Second}}, ask(group, t.Context()))
		}
		require.Equal(t, []int{0, 0, 0}, d.alone)
		require.Empty(t, d.rounds)
	})
}

// callKey is the key of a call's number in its context.
type callKey struct{}

func numbered(contexts []context.Context) []context.Context {
	var own []context.Context
	for i, ctx := range contexts {
		own = append(own, context.WithValue(ctx, callKey{}, i))
	}
	return own
}

func TestWhatQueuesUpGoesTogetherWhenTheRoundBeforeIsDone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var sizes []int
		var observed, worked []any
		d := newDesk(func(ctx context.Context, questions ...int) error {
			worked = append(worked, ctx.Value(callKey{}))
			return takes(time.Second)(ctx, questions...)
		})
		outcomes := ask(d.group(groupcommit.Config[int, int]{Most: 3, Observe: func(ctx context.Context, n int) {
			sizes, observed = append(sizes, n), append(observed, ctx.Value(callKey{}))
		}}), numbered(contexts(t.Context(), 6))...)

		require.Equal(t, []int{0}, d.alone[:1])
		require.Equal(t, [][]int{{1, 2, 3}, {4, 5}}, d.rounds)
		require.Equal(t, []int{1, 3, 2}, sizes)
		require.Equal(t, []any{0, 1, 4}, observed)
		require.Equal(t, observed, worked)
		for i, seconds := range []int{1, 2, 2, 2, 3, 3} {
			require.Equal(t, outcome{i, nil, time.Duration(seconds) * time.Second}, outcomes[i])
		}
	})
}

func TestAPieceOfWorkThatTakesLongHoldsOthersBackForAWhileOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(func(ctx context.Context, questions ...int) error {
			if questions[0] == 0 {
				return takes(time.Hour)(ctx)
			}
			return takes(time.Second)(ctx)
		})
		group := d.group(groupcommit.Config[int, int]{Patience: 10 * time.Second})
		var wg sync.WaitGroup
		answered := make(chan int, 4)
		for i := range 4 {
			wg.Go(func() {
				value, err := group.Do(t.Context(), i)
				if err != nil {
					t.Error(err)
				}
				answered <- value
			})
			synctest.Wait()
			time.Sleep(4 * time.Second) // 0 is at work; 1 and 2 wait; 3 comes after 12 s.
		}
		wg.Wait()
		require.Equal(t, 3, <-answered)
		require.ElementsMatch(t, []int{1, 2}, []int{<-answered, <-answered})
		require.Equal(t, 0, <-answered)
		require.Equal(t, []int{0, 3}, d.alone)
		require.Equal(t, [][]int{{1, 2}}, d.rounds)
	})
}

func TestEachCallOfARoundHasItsOwnAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(takes(time.Second))
		d.answer = func(q int) groupcommit.Answer[int] {
			if q == 2 {
				return groupcommit.Answer[int]{Err: errRefused}
			}
			return groupcommit.Answer[int]{Value: 10 * q}
		}
		outcomes := ask(d.group(groupcommit.Config[int, int]{}), contexts(t.Context(), 4)...)
		require.Equal(t, 10, outcomes[1].value)
		require.ErrorIs(t, outcomes[2].err, errRefused)
		require.Equal(t, 30, outcomes[3].value)
		require.NoError(t, outcomes[3].err)
	})
}

func TestWhatARoundCannotAnswerIsDoneAlone(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		work   func(ctx context.Context, questions ...int) error
		answer func(q int) groupcommit.Answer[int]
		again  []int
	}{
		{
			name: "one of it",
			work: func(context.Context, ...int) error { return nil },
			answer: func(q int) groupcommit.Answer[int] {
				return groupcommit.Answer[int]{Value: q, Err: map[int]error{2: groupcommit.ErrAlone}[q]}
			},
			again: []int{2},
		},
		{
			name: "all of it when it failed",
			work: func(_ context.Context, questions ...int) error {
				if len(questions) > 1 {
					return errRefused
				}
				return nil
			},
			answer: func(q int) groupcommit.Answer[int] { return groupcommit.Answer[int]{Value: q} },
			again:  []int{1, 2, 3},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d := newDesk(func(ctx context.Context, questions ...int) error {
					_ = takes(time.Second)(ctx)
					return tt.work(ctx, questions...)
				})
				d.answer = tt.answer
				outcomes := ask(d.group(groupcommit.Config[int, int]{}), contexts(t.Context(), 4)...)
				for i, o := range outcomes {
					require.NoError(t, o.err)
					require.Equal(t, i, o.value)
				}
				slices.Sort(d.alone)
				require.Equal(t, append([]int{0}, tt.again...), d.alone)
			})
		})
	}
}

func TestOneThatFailsAloneFailsNobodyElse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(func(ctx context.Context, questions ...int) error {
			_ = takes(time.Second)(ctx)
			if slices.Contains(questions, 2) {
				return errRefused
			}
			return nil
		})
		for i, o := range ask(d.group(groupcommit.Config[int, int]{}), contexts(t.Context(), 4)...) {
			require.Equal(t, i == 2, errors.Is(o.err, errRefused), i)
		}
	})
}

func TestACallThatIsCancelledLeavesTheOthersAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(takes(4 * time.Second))
		group := d.group(groupcommit.Config[int, int]{Timeout: time.Minute, Patience: time.Minute})
		inQueue, cancelInQueue := context.WithTimeout(t.Context(), time.Second)
		defer cancelInQueue()
		atWork, cancelAtWork := context.WithTimeout(t.Context(), 6*time.Second)
		defer cancelAtWork()

		outcomes := ask(group, t.Context(), atWork, inQueue, t.Context())

		require.Equal(t, outcome{0, nil, 4 * time.Second}, outcomes[0])
		require.Equal(t, outcome{0, context.DeadlineExceeded, 6 * time.Second}, outcomes[1])
		require.Equal(t, outcome{0, context.DeadlineExceeded, time.Second}, outcomes[2])
		require.Equal(t, outcome{3, nil, 8 * time.Second}, outcomes[3])
		require.Equal(t, [][]int{{1, 3}}, d.rounds, "what was given up in the queue is not asked")
		require.Equal(t, outcome{0, nil, 4 * time.Second}, ask(group, t.Context())[0], "the group goes on")
	})
}

func TestARoundEndsWithTheLastOfItsCalls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		within := func(d time.Duration) context.Context {
			ctx, cancel := context.WithTimeout(t.Context(), d)
			t.Cleanup(cancel)
			return ctx
		}
		d := newDesk(takes(time.Hour))
		group := d.group(groupcommit.Config[int, int]{Timeout: 20 * time.Second, Patience: time.Hour})

		outcomes := ask(group, within(time.Second), within(2*time.Second), within(3*time.Second))
		require.Equal(t, outcome{0, context.DeadlineExceeded, time.Second}, outcomes[0])
		require.Equal(t, outcome{0, context.DeadlineExceeded, 2 * time.Second}, outcomes[1])
		require.ErrorIs(t, outcomes[2].err, context.DeadlineExceeded)
		require.Equal(t, 3*time.Second, outcomes[2].after)

		d.alone = nil
		forever := ask(group, within(time.Second), t.Context(), within(time.Hour), within(2*time.Hour))
		require.Equal(t, []int{0}, d.alone[:1])
		require.GreaterOrEqual(t, forever[2].after, 21*time.Second)
		require.Contains(t, d.alone, 1, "the time of the round was over, and not that of the call")
	})
}

func TestManyCallsAtOnceAreEachAnsweredOnce(t *testing.T) {
	t.Parallel()
	d := newDesk(func(context.Context, ...int) error { return nil })
	group := d.group(groupcommit.Config[int, int]{Patience: 1, Most: 7})
	var wg sync.WaitGroup
	for i := range 2000 {
		wg.Go(func() {
			value, err := group.Do(t.Context(), i)
			if err != nil || value != i {
				t.Errorf("asked %d, got %d, %v", i, value, err)
			}
		})
	}
	wg.Wait()
	require.Len(t, slices.Concat(append(d.rounds, d.alone)...), 2000)
}

func TestSeveralPiecesOfWorkGoOnBeforeCallsQueueUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(takes(100 * time.Millisecond))
		group := d.group(groupcommit.Config[int, int]{AtOnce: 2})

		outcomes := ask(group, contexts(t.Context(), 5)...)

		require.Equal(t, []int{0, 1}, d.alone, "two begin at once")
		require.Equal(t, [][]int{{2, 3, 4}}, d.rounds, "the others go together when the first of them is done")
		for i, o := range outcomes {
			require.Equal(t, i, o.value)
			require.NoError(t, o.err)
		}
		require.Equal(t, 100*time.Millisecond, outcomes[0].after)
		require.Equal(t, 200*time.Millisecond, outcomes[4].after)
	})
}
