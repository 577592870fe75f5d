package domain

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxLength is the most characters that a name in a publisher config may have.
const maxLength = 255

// foldASCII lower-cases A to Z and nothing else. It is the only case folding in
// trustpub: Unicode folding would make foreign names equal to ASCII ones (the
// Kelvin sign K folds to k, the long s ſ to s), and databases disagree about it.
func foldASCII(s string) string {
	i := strings.IndexFunc(s, func(r rune) bool { return 'A' <= r && r <= 'Z' })
	if i < 0 {
		return s
	}
	b := []byte(s)
	for ; i < len(b); i++ {
		if 'A' <= b[i] && b[i] <= 'Z' {
			b[i] += 'a' - 'A'
		}
	}
	return string(b)
}

// hasControl reports whether s holds a control character or is no UTF-8, either
// of which has no place in a name, a log line or a database.
func hasControl(s string) bool {
	return !isPlain(s) && (!utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl))
}

// isPlain reports whether s has printable ASCII characters alone, as nearly all claims
// do. It spares them the tables of Unicode.
func isPlain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// onlyASCII reports whether s is not empty and each byte of it is an ASCII
// letter, a digit or one of extra.
func onlyASCII(s, extra string) bool {
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case strings.IndexByte(extra, c) >= 0:
		default:
			return false
		}
	}
	return s != ""
}

// quote shows untrusted text in a message: in double quotes, with everything
// that does not print escaped, and cut after a length that no honest value
// reaches.
func quote(s string) string {
	const most = 300
	if len(s) > most {
		return strconv.Quote(s[:most]) + "…"
	}
	return strconv.Quote(s)
}
