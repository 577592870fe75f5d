package declared_test

import (
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/adapters/providers/declared"
)

const docs = "../../../docs/"

func TestThePageOfAShippedProviderNamesEveryClaimThatAPublisherCanGiveOrIsPinnedTo(t *testing.T) {
	definitions, err := declared.Shipped()
	require.NoError(t, err)
	for _, d := range definitions {
		page, err := os.ReadFile(docs + d.Name + ".md")
		require.NoError(t, err)
		claims := d.Pinned
		for _, rule := range slices.Concat(d.Required, d.Optional) {
			claims = append(claims, rule.Claim)
		}
		for _, condition := range d.Conditions {
			claims = append(claims, condition.Claim)
		}
		for _, claim := range claims {
			require.Contains(t, string(page), "`"+claim+"`", d.Name)
		}
	}
}

func TestTheExamplesInTheDocumentationAreFilesThatLoad(t *testing.T) {
	page, err := os.ReadFile(docs + "providers-file.md")
	require.NoError(t, err)
	examples := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllSubmatch(page, -1)
	require.Len(t, examples, 1)

	definitions, err := declared.Load("providers-file.md", examples[0][1])

	require.NoError(t, err)
	require.Equal(t, "corp-ci", definitions[0].Name)
	schema := compileSchema(t)
	require.True(t, accepts(t, schema, string(examples[0][1])))
}

func TestTheErrorInTheDocumentationIsTheProgramsOwn(t *testing.T) {
	page, err := os.ReadFile(docs + "providers-file.md")
	require.NoError(t, err)

	_, err = declared.Load("/etc/trustpub/providers.yaml", []byte("providers:\n  - name: corp-ci\n    issuer: https://ci.corp.example\n    algorithms: [RS256]\n    replay: nonce\n    required: [repository]\n"))

	require.Error(t, err)
	require.Contains(t, string(page), "\n"+err.Error()+"\n")
}
