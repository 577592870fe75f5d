package strictjson_test

import (
	"bytes"
	stdjson "encoding/json"
	"errors"
	"io"
	"testing"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4/json"
	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/adapters/strictjson"
)

// FuzzObjectAgainstGoJOSE holds that what is read is what the strict decoder of go-jose,
// which parses the headers of the same ID tokens, reads too, value by value; and that
// the two refuse the same texts.
func FuzzObjectAgainstGoJOSE(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"a":1}`, ` {"a" : [ 1 , "x", null, true, {} , [] ] } `, `{"a":1,"a":2}`, `{"a":{"b":1,"\u0062":2}}`, `{"a":{"b":"\\\"\/\b\f\n\r\t"}}`,
		`{"a":"\ud83d\ude00"}`, `{"a":"\ud83d"}`, `{"\ud83d":1,"\ud83e":2}`, `{"a":"\ude00\ud83d"}`, "{\"a\":\"\xff\"}", "{\"\ufffd\":1,\"\\ud800\":2}", "\ufeff{}", `{"a":"\u00zz"}`,
		`{"a":-0.0e-0}`, `{"a":01}`, `{"a":1.}`, `{"a":1e999}`, `{"a":-}`, `{"a":tru}`, `{"a":1,}`, `{,}`, `[{"a":1}]`, `null`, `{"a":1} x`, `{"a":1}{}`, "{\"a\":1}\x00", "{\"a\":\"\x7f\x1f\"}", `{"a":"`, `{"A":1,"a":2}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		want, wantErr := reference(b)
		got, err := strictjson.Object(b)
		require.Equal(t, wantErr == nil, err == nil, "go-jose: %v, here: %v", wantErr, err)
		require.Empty(t, cmp.Diff(want, got))
	})
}

// reference decodes an object with the decoder of go-jose.
func reference(b []byte) (map[string]any, error) {
	if !utf8.Valid(b) {
		return nil, errors.New("the text is not UTF-8")
	}
	decoder := json.NewDecoder(bytes.NewReader(b))
	decoder.SetNumberType(json.UnmarshalJSONNumber)
	var value any
	err := decoder.Decode(&value)
	if err != nil {
		return nil, err
	}
	_, err = decoder.Token()
	if !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the value")
	}
	object, ok := standardised(value).(map[string]any)
	if !ok {
		return nil, errors.New("the text is no object")
	}
	return object, nil
}

// standardised replaces the number type of that decoder, which has one of its own.
func standardised(value any) any {
	switch v := value.(type) {
	case json.Number:
		return stdjson.Number(v)
	case []any:
		for i := range v {
			v[i] = standardised(v[i])
		}
	case map[string]any:
		for name := range v {
			v[name] = standardised(v[name])
		}
	}
	return value
}
