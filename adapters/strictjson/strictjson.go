// Package strictjson decodes JSON objects that strangers send, in one reading only:
// member names compare byte for byte, a member that occurs twice is an error at any
// depth, the text is UTF-8, and nothing follows the object. The standard
// encoding/json is lenient in all of these, so that two programs can read one
// document differently.
package strictjson

import (
	"bytes"
	stdjson "encoding/json"
	"errors"
	"io"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4/json"
)

// Object decodes an object. Its values are string, bool, nil, []any and
// map[string]any, and those of its direct members that are numbers are
// [encoding/json.Number].
func Object(b []byte) (map[string]any, error) {
	if !utf8.Valid(b) {
		return nil, errors.New("the text is not UTF-8")
	}
	decoder := json.NewDecoder(bytes.NewReader(b))
	decoder.SetNumberType(json.UnmarshalJSONNumber)
	// Decoding into an interface spares the reflection that a map would need.
	var value any
	err := decoder.Decode(&value)
	if err != nil {
		return nil, err
	}
	object, ok := value.(map[string]any)
	if !ok {
		return nil, errors.New("the text is no object")
	}
	_, err = decoder.Token()
	if !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the object")
	}
	for name, member := range object {
		// The decoder has a number type of its own.
		if number, ok := member.(json.Number); ok {
			object[name] = stdjson.Number(number)
		}
	}
	return object, nil
}
