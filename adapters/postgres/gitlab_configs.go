package postgres

import (
	"context"
	"database/sql"

	"github.com/jmoiron/sqlx"

	"github.com/trustpub/trustpub/domain"
)

// selectGitLabConfigs reads rows as [gitlabConfigRow]; the condition follows.
const selectGitLabConfigs = `
	select ` + selectCommon + `, g.namespace, g.project, g.workflow_filepath, g.environment
	from trustpub_configs c
	join trustpub_configs_gitlab g on g.id = c.id`

// gitlabConfigRow is a row of trustpub_configs_gitlab.
type gitlabConfigRow struct {
	configRow

	Namespace        string         `db:"namespace"`
	Project          string         `db:"project"`
	WorkflowFilepath string         `db:"workflow_filepath"`
	Environment      sql.NullString `db:"environment"`
}

func (r gitlabConfigRow) config(pinned map[string]string) (domain.Config, error) {
	params := domain.GitLabConfigParams{
		ID: r.ID, CreatedAt: r.CreatedAt.UTC(), Package: r.pkg(), Issuer: r.Issuer, Pinned: pinned,
		Namespace: r.Namespace, Project: r.Project, WorkflowFilepath: r.WorkflowFilepath,
	}
	if r.Environment.Valid {
		params.Environment = &r.Environment.String
	}
	return params.Config()
}

func insertGitLabConfig(ctx context.Context, tx *sqlx.Tx, id int64, c domain.GitLabConfig) error {
	environment, named := c.Environment()
	_, err := tx.ExecContext(ctx, `
		insert into trustpub_configs_gitlab (id, namespace, project, workflow_filepath, environment)
		values ($1, $2, $3, $4, $5)`,
		id, c.Project().Owner, c.Project().Name, c.WorkflowFilepath(), sql.NullString{String: environment, Valid: named})
	return err
}
