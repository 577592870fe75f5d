package main

import (
	"context"
	"fmt"
	"time"
)

// failure is an error that a trigger raises.
type failure struct {
	name, table, raise string
}

// failures are what a statement of trustpub's can meet. The unique violation is one of
// somebody else's constraint: it says nothing about the ID token.
var failures = []failure{
	{"serialization failure on used jtis", "trustpub_used_jtis", `raise exception 'made up' using errcode = '40001'`},
	{"serialization failure on tokens", "trustpub_tokens", `raise exception 'made up' using errcode = '40001'`},
	{"deadlock on used jtis", "trustpub_used_jtis", `raise exception 'made up' using errcode = '40P01'`},
	{"deadlock on tokens", "trustpub_tokens", `raise exception 'made up' using errcode = '40P01'`},
	{"foreign unique violation on used jtis", "trustpub_used_jtis", `raise exception 'made up' using errcode = '23505', constraint = 'somebody_elses_key', table = 'somebody_elses'`},
	{"foreign unique violation on tokens", "trustpub_tokens", `raise exception 'made up' using errcode = '23505', constraint = 'somebody_elses_key', table = 'somebody_elses'`},
	{"internal error on used jtis", "trustpub_used_jtis", `raise exception 'made up' using errcode = 'XX000'`},
	{"internal error on tokens", "trustpub_tokens", `raise exception 'made up' using errcode = 'XX000'`},
}

// statementsFail has every third row fail, and then each one for a while, in each of the
// ways. A sequence counts, since it is not rolled back.
func statementsFail(ctx context.Context, s *stage, n int) error {
	err := s.onPostgres()
	if err != nil {
		return err
	}
	err = s.serve(ctx, 1)
	if err != nil {
		return err
	}
	s.client.begin(ctx)
	err = s.execute(ctx, `create sequence faults`)
	if err != nil {
		return err
	}
	for _, f := range failures {
		for range n {
			err = s.statementFails(ctx, f)
			if err != nil {
				return err
			}
		}
	}
	s.client.end()
	s.client.stop = nil
	exchanged, used, failed := s.client.settle()
	s.tell("all %d exchanges that were answered 503 succeeded when they were sent again", exchanged)
	if used+failed > 0 {
		s.violate("of the exchanges that were answered 503, %d were then refused as used, and %d failed again", used, failed)
	}
	return nil
}

func (s *stage) statementFails(ctx context.Context, f failure) error {
	const create = `
		create or replace function fault() returns trigger language plpgsql as $$
		begin
			if nextval('faults') %% %d = 0 then %s; end if;
			return new;
		end $$`
	const trigger = `create or replace trigger fault before insert on %s for each row execute function fault()`
	before := s.client.seen().statuses["503"]
	for _, every := range []int{3, 1} {
		err := s.execute(ctx, fmt.Sprintf(create, every, f.raise), fmt.Sprintf(trigger, f.table))
		if err != nil {
			return err
		}
		s.faults++
		time.Sleep(500 * time.Millisecond)
	}
	err := s.execute(ctx, `drop trigger fault on `+f.table)
	if err != nil {
		return err
	}
	err = s.recovered(ctx, time.Now(), recoveredWithin)
	if err != nil {
		return err
	}
	s.tell("%s: %d answers 503", f.name, s.client.seen().statuses["503"]-before)
	return nil
}
