package domain_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/domain"
	"github.com/trustpub/trustpub/trustpubtest"
)

func TestAuthorizeNamesTheRuleThatIsCheckedLast(t *testing.T) {
	var (
		elsewhere = func(p *domain.GitHubConfigParams) { p.Repository = "elsewhere" }
		renamed   = func(p *domain.GitHubConfigParams) {
			p.Repository, p.Pinned = "old-name", map[string]string{"repository_id": "1296269"}
		}
		otherOwner = func(p *domain.GitHubConfigParams) { p.OwnerID = 66 }
		madeAnew   = func(p *domain.GitHubConfigParams) { p.Pinned = map[string]string{"repository_id": "7"} }
		otherFile  = func(p *domain.GitHubConfigParams) { p.WorkflowFilename = "ci.yml" }
		otherSteps = asksForReusable
		otherPlace = func(p *domain.GitHubConfigParams) { p.Environment = new("production") }
	)
	// Each fails one rule, in the order in which the rules are checked.
	ladder := []struct {
		name   string
		config configChange
		code   domain.Code
	}{
		{"repository", elsewhere, domain.CodeNoPublisher},
		{"renamed", renamed, domain.CodeRepositoryRenamed},
		{"owner ID", otherOwner, domain.CodeOwnerIDMismatch},
		{"pinned ID", madeAnew, domain.CodePinnedIDMismatch},
		{"workflow", otherFile, domain.CodeWorkflowMismatch},
		{"reusable workflow", otherSteps, domain.CodeReusableWorkflowMismatch},
		{"environment", otherPlace, domain.CodeEnvironmentMismatch},
	}
	claims := trustpubtest.NewClaims(t, withIDs(map[string]string{"repository_id": "1296269"}))
	for i, near := range ladder {
		for _, far := range ladder[:i+1] {
			t.Run(near.name+" goes before "+far.name, func(t *testing.T) {
				for _, configs := range [][]domain.Config{githubConfigs(t, near.config, far.config), githubConfigs(t, far.config, near.config)} {
					grants, err := domain.Authorize(configs, claims)

					requireError(t, err, domain.KindRefused, near.code)
					require.Nil(t, grants)
				}
			})
		}
	}
}

func TestOneConfigThatFailsSeveralRulesNamesTheFirst(t *testing.T) {
	claims := trustpubtest.NewClaims(t, withIDs(map[string]string{"repository_id": "1296269"}))
	anew := map[string]string{"repository_id": "7"}
	tests := []struct {
		name   string
		config configChange
		code   domain.Code
	}{
		{
			"owner ID and pinned ID",
			func(p *domain.GitHubConfigParams) { p.OwnerID, p.Pinned = 66, anew }, domain.CodeOwnerIDMismatch,
		},
		{
			"pinned ID and workflow",
			func(p *domain.GitHubConfigParams) { p.Pinned, p.WorkflowFilename = anew, "ci.yml" }, domain.CodePinnedIDMismatch,
		},
		{
			"repository and pinned ID",
			func(p *domain.GitHubConfigParams) { p.Repository, p.Pinned = "elsewhere", anew }, domain.CodeNoPublisher,
		},
		{
			"renamed, owner ID and workflow",
			func(p *domain.GitHubConfigParams) {
				p.Repository, p.Pinned = "old-name", map[string]string{"repository_id": "1296269"}
				p.OwnerID, p.WorkflowFilename = 66, "ci.yml"
			}, domain.CodeRepositoryRenamed,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := domain.Authorize(githubConfigs(t, tt.config), claims)

			requireError(t, err, domain.KindRefused, tt.code)
		})
	}
}

func TestRefusalsOverIDsSayWhatIsToBeDone(t *testing.T) {
	claims := trustpubtest.NewClaims(t, withIDs(map[string]string{"repository_id": "1296269"}))
	tests := []struct {
		name   string
		config configChange
		want   string
	}{
		{
			"made anew", func(p *domain.GitHubConfigParams) { p.Pinned = map[string]string{"repository_id": "7"} },
			`The name "octo-org/octo-repo" stands for the repository_id "1296269" now, but its publishers were pinned to "7" at their first exchange: what had the name was deleted and made again, or another has taken it. If it is rightly yours, delete these publishers and configure them again.`,
		},
		{
			"renamed", func(p *domain.GitHubConfigParams) {
				p.Repository, p.Pinned = "old-name", map[string]string{"repository_id": "1296269"}
			},
			`The publishers for the repository "octo-org/octo-repo" were configured when it was called "octo-org/old-name": it was renamed or moved. Delete these publishers and configure them for the new name.`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := domain.Authorize(githubConfigs(t, tt.config), claims)

			require.Equal(t, tt.want, domain.MessageOf(err))
		})
	}
}

func TestForPackagesKeepsTheConfigsOfOneEcosystemAndPackage(t *testing.T) {
	npm := func(name string) domain.Package { return domain.Package{Ecosystem: "npm", Name: name} }
	var changes []configChange
	for _, pkg := range []domain.Package{cargo("demo"), cargo("other"), npm("demo"), npm("@octo/demo"), cargo("demo")} {
		changes = append(changes, func(p *domain.GitHubConfigParams) { p.Package = pkg })
	}
	configs := githubConfigs(t, changes...)
	tests := []struct {
		name      string
		ecosystem string
		pkg       domain.Package
		want      []int64
	}{
		{"any", "", domain.Package{}, []int64{1, 2, 3, 4, 5}},
		{"one ecosystem", "cargo", domain.Package{}, []int64{1, 2, 5}},
		{"another ecosystem", "npm", domain.Package{}, []int64{3, 4}},
		{"one package", "", cargo("demo"), []int64{1, 5}},
		{"a package of the ecosystem", "npm", npm("demo"), []int64{3}},
		{"a package of another ecosystem", "npm", cargo("demo"), nil},
		{"an ecosystem that nothing is of", "pypi", domain.Package{}, nil},
		{"an ecosystem in another case", "Cargo", domain.Package{}, nil},
		{"a package that nothing is of", "cargo", cargo("unheard-of"), nil},
		{"a package in another case", "cargo", cargo("Demo"), nil},
		{"a package without an ecosystem", "cargo", domain.Package{Name: "demo"}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got []int64
			for _, config := range domain.ForPackages(configs, tt.ecosystem, tt.pkg) {
				got = append(got, config.Common().ID)
			}

			require.Empty(t, cmp.Diff(tt.want, got))
			require.Len(t, configs, 5, "what was given is unchanged")
		})
	}
}
