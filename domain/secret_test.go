package domain_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"math/big"
	"strings"
	"testing"
	"testing/iotest"
	"unicode"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/trustpub/trustpub/domain"
)

const base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// zeroToken is the token of a source of zeros, with a checksum computed by another
// program (Python's binascii.crc32).
const (
	zeroToken    = "cio_tp_00000000000000000000000000000000" + zeroChecksum
	zeroChecksum = "1Wi0z8"
)

func TestNewSecretHasTheFormOfTheContract(t *testing.T) {
	prefix := newPrefix(t, domain.DefaultTokenPrefix)
	secret, err := domain.NewSecret(prefix, rand.Reader)
	require.NoError(t, err)

	token := secret.Reveal()

	require.Regexp(t, `^cio_tp_[0-9A-Za-z]{38}$`, token)
	require.Equal(t, sum62(token[:len(token)-6]), token[len(token)-6:])
	random := len(token) - len(domain.DefaultTokenPrefix) - 6
	require.GreaterOrEqual(t, float64(random)*math.Log2(62), 160.0)
}

func TestNewSecretAgreesWithAChecksumComputedElsewhere(t *testing.T) {
	secret, err := domain.NewSecret(newPrefix(t, domain.DefaultTokenPrefix), zeros{})

	require.NoError(t, err)
	require.Equal(t, zeroToken, secret.Reveal())
}

func TestNewSecretIsNotBiased(t *testing.T) {
	// A byte above 247 would make the first eight characters likelier than the
	// others, so it is skipped; below, each character stands for four bytes.
	count := map[rune]int{}
	for b := range 256 {
		random := io.MultiReader(
			bytes.NewReader([]byte{byte(b)}),
			bytes.NewReader(bytes.Repeat([]byte{61}, 63)), // 61 is "z".
		)
		secret, err := domain.NewSecret(newPrefix(t, "x__"), random)
		require.NoError(t, err)
		token := secret.Reveal()[len("x__"):]
		require.Equal(t, strings.Repeat("z", 31), token[1:32])
		if b >= 248 {
			require.Equal(t, "z", token[:1], "byte %d is skipped", b)
			continue
		}
		count[rune(token[0])]++
	}
	require.Len(t, count, 62)
	for character, n := range count {
		require.Equal(t, 4, n, "character %c", character)
		require.Contains(t, base62, string(character))
	}
}

func TestNewSecretNeverRepeatsItself(t *testing.T) {
	prefix := newPrefix(t, domain.DefaultTokenPrefix)
	seen := map[string]bool{}
	for range 10_000 {
		secret, err := domain.NewSecret(prefix, rand.Reader)
		require.NoError(t, err)
		require.False(t, seen[secret.Reveal()])
		seen[secret.Reveal()] = true
	}
}

func TestNewSecretFailsWithoutEnoughRandomBytes(t *testing.T) {
	broken := errors.New("no entropy")
	tests := []struct {
		name   string
		random io.Reader
		want   error
	}{
		{"none", strings.NewReader(""), io.EOF},
		{"too few", strings.NewReader(strings.Repeat("x", 31)), io.ErrUnexpectedEOF},
		{"too few after those that were skipped", io.MultiReader(strings.NewReader("\xff"), strings.NewReader(strings.Repeat("x", 62))), io.ErrUnexpectedEOF},
		{"an error", iotest.ErrReader(broken), broken},
		{"an error midway", io.MultiReader(strings.NewReader("xxxx"), iotest.ErrReader(broken)), broken},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			secret, err := domain.NewSecret(newPrefix(t, domain.DefaultTokenPrefix), tt.random)

			require.ErrorIs(t, err, tt.want)
			require.Zero(t, secret)
		})
	}
	t.Run("no prefix", func(t *testing.T) {
		secret, err := domain.NewSecret(domain.TokenPrefix{}, rand.Reader)

		require.Error(t, err)
		require.Zero(t, secret)
	})
}

func TestNewTokenPrefix(t *testing.T) {
	for _, s := range []string{"cio_tp_", "aa_", "a__", "a0_", "a23456789012345_", "a_b_c_d_"} {
		t.Run("accepts "+s, func(t *testing.T) {
			prefix, err := domain.NewTokenPrefix(s)

			require.NoError(t, err)
			require.Equal(t, s, prefix.String())
		})
	}
	tests := []struct{ name, prefix string }{
		{"empty", ""},
		{"only an underscore", "_"},
		{"one letter", "a_"},
		{"too long", "a" + strings.Repeat("b", 16) + "_"},
		{"no underscore at the end", "cio_tp"},
		{"upper case", "Cio_tp_"},
		{"upper case inside", "ciO_tp_"},
		{"digit first", "0io_tp_"},
		{"underscore first", "_cio_tp_"},
		{"hyphen", "cio-tp_"},
		{"space before", " cio_tp_"},
		{"space behind", "cio_tp_ "},
		{"newline behind", "cio_tp_\n"},
		{"NUL", "cio\x00tp_"},
		{"Kelvin sign", "cio\u212atp_"},
		{"long s", "cioſ_tp_"},
		{"full width", "ｃio_tp_"},
	}
	for _, tt := range tests {
		t.Run("refuses "+tt.name, func(t *testing.T) {
			prefix, err := domain.NewTokenPrefix(tt.prefix)

			requireError(t, err, domain.KindInvalid, domain.CodeInvalidConfig)
			require.Zero(t, prefix)
		})
	}
}

func TestParseSecretReadsWhatNewSecretMade(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.StringMatching(`[a-z][a-z0-9_]{1,15}_`).Draw(t, "prefix")
		bits := rapid.SliceOfN(rapid.ByteRange(0, 247), 32, 32).Draw(t, "random")
		prefix, err := domain.NewTokenPrefix(name)
		require.NoError(t, err)
		secret, err := domain.NewSecret(prefix, bytes.NewReader(bits))
		require.NoError(t, err)

		parsed, err := domain.ParseSecret(prefix, secret.Reveal())

		require.NoError(t, err)
		require.Equal(t, secret, parsed)
		require.Equal(t, domain.TokenHash(sha256.Sum256([]byte(secret.Reveal()))), parsed.Hash())
	})
}

func TestParseSecretRefusesATokenWithOneCharacterChanged(t *testing.T) {
	prefix := newPrefix(t, domain.DefaultTokenPrefix)
	rapid.Check(t, func(t *rapid.T) {
		bits := rapid.SliceOfN(rapid.ByteRange(0, 247), 32, 32).Draw(t, "random")
		secret, err := domain.NewSecret(prefix, bytes.NewReader(bits))
		require.NoError(t, err)
		token := []byte(secret.Reveal())
		at := rapid.IntRange(0, len(token)-1).Draw(t, "at")
		// Characters of the alphabet are those that only the checksum tells apart.
		token[at] = rapid.OneOf(rapid.SampledFrom([]byte(base62)), rapid.Byte()).
			Filter(func(b byte) bool { return b != token[at] }).Draw(t, "character")

		_, err = domain.ParseSecret(prefix, string(token))

		require.Equal(t, domain.CodeInvalidToken, domain.CodeOf(err))
	})
}

func TestParseSecretRefusesWhatIsNoTokenOfThisRegistry(t *testing.T) {
	body := strings.Repeat("0", 32)
	tests := []struct{ name, token string }{
		{"empty", ""},
		{"prefix alone", "cio_tp_"},
		{"a part of the prefix", "cio_t"},
		{"prefix and checksum alone", "cio_tp_" + sum62("cio_tp_")},
		{"no prefix", zeroToken[len("cio_tp_"):]},
		{"no prefix, with its own checksum", body + sum62(body)},
		{"prefix twice", "cio_tp_" + zeroToken},
		{"another registry's prefix, with its own checksum", "npm_tp_" + body + sum62("npm_tp_"+body)},
		{"prefix in upper case, with its own checksum", "CIO_TP_" + body + sum62("CIO_TP_"+body)},
		{"one character less, with its own checksum", "cio_tp_" + body[1:] + sum62("cio_tp_"+body[1:])},
		{"one character more, with its own checksum", "cio_tp_" + body + "0" + sum62("cio_tp_"+body+"0")},
		{"character outside the alphabet, with its own checksum", "cio_tp_-" + body[1:] + sum62("cio_tp_-"+body[1:])},
		{"underscore, with its own checksum", "cio_tp__" + body[1:] + sum62("cio_tp__"+body[1:])},
		{"letter beyond ASCII, with its own checksum", "cio_tp_é" + body[2:] + sum62("cio_tp_é"+body[2:])},
		{"NUL, with its own checksum", "cio_tp_\x00" + body[1:] + sum62("cio_tp_\x00"+body[1:])},
		{"checksum of the body alone", "cio_tp_" + body + sum62(body)},
		{"checksum in lower case", "cio_tp_" + body + strings.ToLower(zeroChecksum)},
		{"checksum beyond 32 bits", "cio_tp_" + body + "zzzzzz"},
		{"checksum missing", "cio_tp_" + body},
		{"space before", " " + zeroToken},
		{"space behind", zeroToken + " "},
		{"newline behind", zeroToken + "\n"},
		{"NUL behind", zeroToken + "\x00"},
		{"bearer scheme", "Bearer " + zeroToken},
		{"quoted", `"` + zeroToken + `"`},
		{"hash of a token", fmt.Sprintf("%x", sha256.Sum256([]byte(zeroToken)))},
		{"very long", zeroToken + strings.Repeat("0", 1<<16)},
	}
	prefix := newPrefix(t, domain.DefaultTokenPrefix)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			secret, err := domain.ParseSecret(prefix, tt.token)

			requireError(t, err, domain.KindUnauthenticated, domain.CodeInvalidToken)
			require.Zero(t, secret)
			if len(tt.token) > 8 {
				require.NotContains(t, err.Error(), tt.token)
			}
		})
	}
	t.Run("without a prefix to compare with", func(t *testing.T) {
		_, err := domain.ParseSecret(domain.TokenPrefix{}, body+sum62(body))

		requireError(t, err, domain.KindUnauthenticated, domain.CodeInvalidToken)
	})
	t.Run("but not the token that they resemble", func(t *testing.T) {
		secret, err := domain.ParseSecret(prefix, zeroToken)

		require.NoError(t, err)
		require.Equal(t, zeroToken, secret.Reveal())
	})
}

func TestSecretOfTheZeroValueIsNoToken(t *testing.T) {
	var secret domain.Secret

	require.Empty(t, secret.Reveal())
	require.Equal(t, "[redacted]", secret.String())
	require.Equal(t, domain.TokenHash(sha256.Sum256(nil)), secret.Hash())
}

func FuzzParseSecret(f *testing.F) {
	for _, seed := range []string{"", "cio_tp_", zeroToken, zeroToken[:44], zeroToken + "0", "CIO_TP_" + zeroToken[7:], strings.Repeat("\x00", 45)} {
		f.Add(seed)
	}
	prefix, err := domain.NewTokenPrefix(domain.DefaultTokenPrefix)
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, s string) {
		secret, err := domain.ParseSecret(prefix, s)
		if err != nil {
			requireError(t, err, domain.KindUnauthenticated, domain.CodeInvalidToken)
			return
		}
		require.Equal(t, s, secret.Reveal())
		require.Regexp(t, `^cio_tp_[0-9A-Za-z]{38}$`, s)
		require.Equal(t, sum62(s[:39]), s[39:])
	})
}

// sum62 is the CRC-32 of s in base62, computed unlike the domain does it: by big
// numbers, which write 10 to 35 in lower case and 36 to 61 in upper case.
func sum62(s string) string {
	text := new(big.Int).SetUint64(uint64(crc32.ChecksumIEEE([]byte(s)))).Text(62)
	swapped := strings.Map(func(r rune) rune {
		if unicode.IsUpper(r) {
			return unicode.ToLower(r)
		}
		return unicode.ToUpper(r)
	}, text)
	return strings.Repeat("0", 6-len(text)) + swapped
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

func newPrefix(t *testing.T, s string) domain.TokenPrefix {
	t.Helper()
	prefix, err := domain.NewTokenPrefix(s)
	require.NoError(t, err)
	return prefix
}
