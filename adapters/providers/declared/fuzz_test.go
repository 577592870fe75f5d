package declared_test

import (
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/adapters/providers/declared"
)

// Whatever the file, Load ends, and either tells the place of a mistake in one line or
// returns definitions of which providers can be made.
func FuzzLoad(f *testing.F) {
	for _, seed := range goodFiles() {
		f.Add([]byte(seed.file))
	}
	for _, seed := range badFiles() {
		f.Add([]byte(seed.file))
	}
	place := regexp.MustCompile(`^providers\.yaml:[1-9]\d*:[1-9]\d*: [^\n]+$`)
	f.Fuzz(func(t *testing.T, file []byte) {
		definitions, err := declared.Load("providers.yaml", file)
		if err != nil {
			require.Nil(t, definitions)
			require.Regexp(t, place, err.Error())
			return
		}
		require.NotEmpty(t, definitions)
		names := map[string]bool{}
		for _, d := range definitions {
			_, err := declared.New(d, "https://ci.example")
			require.NoError(t, err)
			require.False(t, names[d.Name])
			names[d.Name] = true
		}
	})
}
