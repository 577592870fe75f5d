package postgres

import (
	"encoding/hex"
	"strings"
)

// arrayText returns an array as PostgreSQL reads it
// (https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO), for a parameter
// that is cast to the array's type. Every driver can send a text; what else they send
// as an array differs.
func arrayText(elements []string) string {
	size := 2
	for _, element := range elements {
		size += len(element) + len(`"",`) + 16 // Some quotes in it, to be escaped.
	}
	var b strings.Builder
	b.Grow(size)
	b.WriteByte('{')
	for i, element := range elements {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteByte('"')
		_, _ = arrayEscapes.WriteString(&b, element) // A strings.Builder never fails.
		b.WriteByte('"')
	}
	b.WriteByte('}')
	return b.String()
}

var arrayEscapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

// byteaText returns bytes as PostgreSQL reads them
// (https://www.postgresql.org/docs/current/datatype-binary.html).
func byteaText(b []byte) string { return `\x` + hex.EncodeToString(b) }
