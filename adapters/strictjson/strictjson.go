// Package strictjson decodes JSON that strangers send, in one reading only:
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
	value, err := decode(b)
	if err != nil {
		return nil, err
	}
	object, ok := value.(map[string]any)
	if !ok {
		return nil, errors.New("the text is no object")
	}
	standardise(object)
	return object, nil
}

// Objects decodes an array of objects, each as [Object] does.
func Objects(b []byte) ([]map[string]any, error) {
	value, err := decode(b)
	if err != nil {
		return nil, err
	}
	members, ok := value.([]any)
	if !ok {
		return nil, errors.New("the text is no array")
	}
	objects := make([]map[string]any, 0, len(members))
	for _, member := range members {
		object, ok := member.(map[string]any)
		if !ok {
			return nil, errors.New("a member of the array is no object")
		}
		standardise(object)
		objects = append(objects, object)
	}
	return objects, nil
}

// decode reads one value that nothing follows.
func decode(b []byte) (any, error) {
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
	_, err = decoder.Token()
	if !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the value")
	}
	return value, nil
}

// standardise replaces the number type of the decoder, which has one of its own.
func standardise(object map[string]any) {
	for name, member := range object {
		if number, ok := member.(json.Number); ok {
			object[name] = stdjson.Number(number)
		}
	}
}
