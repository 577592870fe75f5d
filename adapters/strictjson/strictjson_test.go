package strictjson_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/adapters/strictjson"
)

func TestAnObjectIsDecodedMemberByMember(t *testing.T) {
	t.Parallel()
	got, err := strictjson.Object([]byte(" {\"s\":\"\\u0041\\n\",\"b\":true,\"z\":null,\"i\":9007199254740993,\"f\":1.50,\"e\":1e300,\"a\":[\"x\",null],\"o\":{\"s\":\"y\"}}\r\n\t "))
	require.NoError(t, err)
	want := map[string]any{
		"s": "A\n", "b": true, "z": nil,
		// Numbers stay as they were written, so that none is rounded.
		"i": json.Number("9007199254740993"), "f": json.Number("1.50"), "e": json.Number("1e300"),
		"a": []any{"x", nil},
		"o": map[string]any{"s": "y"},
	}
	require.Empty(t, cmp.Diff(want, got))
}

func TestMemberNamesAreComparedByteForByte(t *testing.T) {
	t.Parallel()
	// The Kelvin sign and the long s fold to k and s in Unicode.
	got, err := strictjson.Object([]byte(`{"iss":"a","ISS":"b","Iss":"c","i\u017fs":"d","iss\u0000":"e","iss ":"f","":"g"}`))
	require.NoError(t, err)
	want := map[string]any{"iss": "a", "ISS": "b", "Iss": "c", "i\u017fs": "d", "iss\x00": "e", "iss ": "f", "": "g"}
	require.Empty(t, cmp.Diff(want, got))
}

func TestWhatTwoProgramsCouldReadDifferentlyIsAnError(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, text string }{
		{"a member twice", `{"a":1,"a":2}`},
		{"a member twice with one value", `{"a":1,"a":1}`},
		{"a member twice, once null", `{"a":null,"a":1}`},
		{"a member twice, once escaped", `{"iss":"x","\u0069ss":"y"}`},
		{"a member twice, once escaped with capitals", `{"ISS":"x","\u0049SS":"y"}`},
		{"a member of a member twice", `{"o":{"a":1,"a":2}}`},
		{"a member in an array twice", `{"l":[{"a":1,"a":2}]}`},
		{"a member far down twice", `{"l":[[[{"o":{"p":[{"a":1,"a":2}]}}]]]}`},
		{"the empty name twice", `{"":1,"":2}`},
		{"an object after it", `{"a":1}{"a":2}`},
		{"an object on the next line", "{\"a\":1}\n{\"a\":2}"},
		{"a brace after it", `{"a":1}}`},
		{"a bracket after it", `{"a":1}]`},
		{"a comma after it", `{"a":1},`},
		{"text after it", `{"a":1}x`},
		{"a NUL after it", "{\"a\":1}\x00"},
		{"a byte order mark", "\ufeff{\"a\":1}"},
		{"a form feed", "\f{\"a\":1}"},
		{"a no-break space", "\u00a0{\"a\":1}"},
		{"UTF-16", "\x00{\x00}"},
		{"no UTF-8 in a value", "{\"a\":\"\xff\"}"},
		{"no UTF-8 in a name", "{\"\xc3\x28\":1}"},
		{"a surrogate in UTF-8", "{\"a\":\"\xed\xa0\x80\"}"},
		{"an overlong slash", "{\"a\":\"\xc0\xaf\"}"},
		{"a control character in a string", "{\"a\":\"\x01\"}"},
		{"a line break in a string", "{\"a\":\"x\ny\"}"},
		{"an unknown escape", `{"a":"\x41"}`},
		{"a comment", `{"a":1/* */}`},
		{"a trailing comma", `{"a":1,}`},
		{"a name without quotes", `{a:1}`},
		{"single quotes", `{'a':1}`},
		{"a leading zero", `{"a":01}`},
		{"a plus sign", `{"a":+1}`},
		{"a hexadecimal number", `{"a":0x1}`},
		{"NaN", `{"a":NaN}`},
		{"Infinity", `{"a":Infinity}`},
		{"a number without digits", `{"a":-}`},
		{"True", `{"a":True}`},
		{"cut off", `{"a":1`},
		{"an open string", `{"a":"`},
		{"nothing", ""},
		{"blanks", " \n"},
		{"null", "null"},
		{"an array", `[{"a":1}]`},
		{"a string", `"{}"`},
		{"a number", "1"},
		{"true", "true"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := strictjson.Object([]byte(tt.text))
			require.Error(t, err, "%v", got)
			require.Nil(t, got)
		})
	}
}

func TestNestingIsBounded(t *testing.T) {
	t.Parallel()
	nested := func(depth int) []byte {
		return []byte(`{"a":` + strings.Repeat("[", depth) + strings.Repeat("]", depth) + "}")
	}
	_, err := strictjson.Object(nested(1000))
	require.NoError(t, err)
	// As deep as the largest body of a request could be, and the largest document.
	for _, depth := range []int{16 << 10, 512 << 10} {
		_, err = strictjson.Object(nested(depth))
		require.ErrorContains(t, err, "depth")
		_, err = strictjson.Object([]byte(strings.Repeat(`{"a":`, depth)))
		require.ErrorContains(t, err, "depth")
	}
}

// FuzzObject holds that what is accepted is what the standard library reads too:
// strict only ever means less.
func FuzzObject(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"a":1}`, `{"a":1,"a":2}`, `{"a":{"b":[1,"x",null,true]}}`, `{"a":"\ud83d\ude00\ud800"}`, "\ufeff{}", `{"a":-0.0e-0}`, `null`, `{"a":1} x`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := strictjson.Object(b)
		if err != nil {
			require.Nil(t, got)
			return
		}
		var want map[string]json.RawMessage
		require.NoError(t, json.Unmarshal(b, &want))
		require.Len(t, got, len(want), "no member is lost")
		for name := range got {
			require.Contains(t, want, name)
		}
	})
}

func TestAnArrayOfObjectsIsDecodedOneByOne(t *testing.T) {
	t.Parallel()
	got, err := strictjson.Objects([]byte(` [{"n":9007199254740993},{"a":["x"]},{}] `))
	require.NoError(t, err)
	want := []map[string]any{{"n": json.Number("9007199254740993")}, {"a": []any{"x"}}, {}}
	require.Empty(t, cmp.Diff(want, got))

	none, err := strictjson.Objects([]byte("[]"))
	require.NoError(t, err)
	require.Empty(t, none)
}

func TestWhatIsNoArrayOfObjectsIsAnError(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, text string }{
		{"nothing", ""},
		{"null", "null"},
		{"object", `{"a":1}`},
		{"member that is no object", `[{},1]`},
		{"null among the members", `[null]`},
		{"array in the array", `[[{}]]`},
		{"member twice", `[{"a":1,"a":2}]`},
		{"member twice, further in", `[{"a":[{"b":1,"b":2}]}]`},
		{"something behind", `[{}]{}`},
		{"not closed", `[{}`},
		{"not UTF-8", "[{\"a\":\"\xff\"}]"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := strictjson.Objects([]byte(test.text))
			require.Error(t, err)
		})
	}
}

func TestStringsAreWrittenAsEncodingJSONReadsThem(t *testing.T) {
	t.Parallel()
	for _, members := range []map[string]string{
		{},
		{"": ""},
		{"a": "b"},
		{"a": "b", "c": "d"},
		{"ref": "refs/heads/日本\"'\\<&>\u2028", "ünï": "\x00\x1f\x7f\n\t", "emoji": "🦀"},
	} {
		written := strictjson.AppendStrings([]byte("before "), maps.All(members))

		after, ok := bytes.CutPrefix(written, []byte("before "))
		require.True(t, ok)
		var read map[string]string
		require.NoError(t, json.Unmarshal(after, &read), string(after))
		require.Equal(t, members, read)
		_, err := strictjson.Object(after)
		require.NoError(t, err)
	}
	require.JSONEq(t, `{"a\ufffd":"\ufffdb"}`, string(strictjson.AppendStrings(nil, maps.All(map[string]string{"a\xff": "\xffb"}))))
}

func TestAnObjectOfStringsIsReadAsItIsWritten(t *testing.T) {
	t.Parallel()
	for _, want := range []map[string]string{
		{}, {"": ""}, {"a": "b"}, {"ref": "refs/heads/日本\"'\\<&>\u2028", "ünï": "\x00\x1f\x7f\n\t", "emoji": "🦀"},
	} {
		members, err := strictjson.Strings(strictjson.AppendStrings(nil, maps.All(want)))
		require.NoError(t, err)
		require.Equal(t, want, maps.Collect(members))
	}
	members, err := strictjson.Strings([]byte(` {"b" : "1", "\u0061":"\u0032"} `))
	require.NoError(t, err)
	var order []string
	for name, value := range members {
		order = append(order, name+value)
	}
	require.Equal(t, []string{"b1", "a2"}, order)
	for range members {
		break // It can be left.
	}

	for _, other := range []string{
		``, `null`, `[]`, `"a"`, `1`, `{`, `{"a":"b"`, `{"a":"b"}x`, `{"a":"b"}{}`, `{"a":"b",}`, `{"a"}`,
		`{"a":1}`, `{"a":null}`, `{"a":true}`, `{"a":{}}`, `{"a":["b"]}`, `{"a":"1","a":"1"}`, `{"a":"1","\u0061":"1"}`, "{\"a\":\"\xff\"}",
	} {
		_, err := strictjson.Strings([]byte(other))
		require.Error(t, err, other)
	}
}
