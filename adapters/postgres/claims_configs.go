package postgres

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jmoiron/sqlx"

	"github.com/trustpub/trustpub/domain"
)

// selectClaimsConfigs reads rows as [claimsConfigRow]; the condition follows.
const selectClaimsConfigs = `
	select ` + selectCommon + `, g.source, g.claims
	from trustpub_configs c
	join trustpub_configs_claims g on g.id = c.id`

// claimsConfigRow is a row of trustpub_configs_claims.
type claimsConfigRow struct {
	configRow

	Source string `db:"source"`
	Claims string `db:"claims"`
}

func (r claimsConfigRow) config(pinned map[string]string) (domain.Config, error) {
	params := domain.ClaimsConfigParams{
		ID: r.ID, CreatedAt: r.CreatedAt.UTC(), Package: r.pkg(), Issuer: r.Issuer, Pinned: pinned,
		Provider: r.Provider, Key: r.LookupKey, Source: r.Source,
	}
	err := json.Unmarshal([]byte(r.Claims), &params.Claims)
	if err != nil {
		return nil, fmt.Errorf("decode claims: %w", err)
	}
	return params.Config()
}

func insertClaimsConfig(ctx context.Context, tx *sqlx.Tx, id int64, c domain.ClaimsConfig) error {
	claims, err := json.Marshal(c.Claims())
	if err != nil {
		return fmt.Errorf("encode claims: %w", err)
	}
	_, err = tx.ExecContext(ctx, `
		insert into trustpub_configs_claims (id, source, claims)
		values ($1, $2, $3::jsonb)`, id, c.Source(), string(claims))
	return err
}
