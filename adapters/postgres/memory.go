package postgres

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strings"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/trustpub/trustpub/application"
	"github.com/trustpub/trustpub/domain"
)

// What is remembered is a few megabytes at most. A workload with more to its configs, such as
// six GitHub configs or more, is looked up each time.
const (
	mostRemembered     = 1024
	mostTextRemembered = 2 << 10 // Bytes of row text for each.
)

// lookup is what the configs of a workload are found by.
type lookup struct{ issuer, key, provider string }

func lookupOf(claims domain.Claims) lookup {
	return lookup{claims.Issuer(), claims.Key(), claims.Provider()}
}

// memory holds what look-ups have found, those of the workloads that came last.
type memory struct {
	found *lru.Cache[lookup, application.Recalled]
}

func newMemory() memory {
	found, err := lru.New[lookup, application.Recalled](mostRemembered)
	if err != nil {
		panic(err) // The size is wrong, and it is a constant.
	}
	return memory{found}
}

// remember keeps the rows that were found, in the order of their IDs.
func (m memory) remember(by lookup, rows []stored) {
	texts := make([]string, 0, len(rows))
	for _, row := range rows {
		texts = append(texts, row.row.RowText)
	}
	text := strings.Join(texts, "\n")
	if len(rows) == 0 || len(text) > mostTextRemembered {
		return
	}
	state := sha256.Sum256([]byte(text))
	m.found.Add(by, application.Recalled{Configs: configsOf(rows), State: string(state[:])})
}

// currentState is what State of [application.Recalled] was made of, as SQL, of the row
// named asked: all that the rows of the configs hold, to the letter. So it tells any
// change, also one by hand, and whatever the clocks and the transaction IDs of another
// server say after a fail-over. A session in another time zone writes it otherwise, which
// costs a look-up.
const currentState = `
	select sha256(convert_to(string_agg(concat_ws(' ', c, of_github, of_gitlab, of_claims), e'\n' order by c.id), 'UTF8'))
	from trustpub_configs c
	left join trustpub_configs_github of_github on of_github.id = c.id
	left join trustpub_configs_gitlab of_gitlab on of_gitlab.id = c.id
	left join trustpub_configs_claims of_claims on of_claims.id = c.id
	where c.issuer = asked.issuer and c.lookup_key = asked.lookup_key and c.provider = asked.provider`

// RecallConfigs implements [application.ConfigMemory].
func (s *Store) RecallConfigs(claims domain.Claims) (application.Recalled, bool) {
	return s.memory.found.Get(lookupOf(claims))
}

// SaveRecalled implements [application.ConfigMemory].
func (s *Store) SaveRecalled(ctx context.Context, token domain.AccessToken, claims domain.Claims, recalled application.Recalled) error {
	if recalled.State == "" {
		return application.ErrOutdated // It was not recalled.
	}
	item, err := newSaving(token, claims.UsedJTI())
	if err != nil {
		return err
	}
	item.lookup, item.state = lookupOf(claims), recalled.State
	_, err = s.saves(ctx, item)
	if err != nil {
		return fmt.Errorf("save token: %w", err)
	}
	return nil
}
