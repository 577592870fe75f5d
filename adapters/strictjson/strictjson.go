// Package strictjson decodes JSON that strangers send, in one reading only:
// member names compare byte for byte, a member that occurs twice is an error at any
// depth, the text is UTF-8, and nothing follows the object. The standard
// encoding/json is lenient in all of these, so that two programs can read one
// document differently.
package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// Object decodes an object. Its values are string, bool, nil, []any, map[string]any
// and, so that no number is rounded, [encoding/json.Number].
func Object(b []byte) (map[string]any, error) {
	value, err := decode(b)
	if err != nil {
		return nil, err
	}
	object, ok := value.(map[string]any)
	if !ok {
		return nil, errors.New("the text is no object")
	}
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
		objects = append(objects, object)
	}
	return objects, nil
}

// AppendStrings appends an object of strings to b. A name or a value that is not UTF-8
// gets U+FFFD for what is not.
func AppendStrings(b []byte, members iter.Seq2[string, string]) []byte {
	b = append(b, '{')
	first := true
	for name, value := range members {
		if !first {
			b = append(b, ',')
		}
		first = false
		b, _ = jsontext.AppendQuote(b, name) // The error says that it was not UTF-8.
		b = append(b, ':')
		b, _ = jsontext.AppendQuote(b, value)
	}
	return append(b, '}')
}

// Strings decodes an object of strings. The members are in the order in which they stand.
func Strings(b []byte) (iter.Seq2[string, string], error) {
	type member struct{ name, value string }
	members := make([]member, 0, min(1+bytes.Count(b, []byte{','}), 64))
	err := decodeWith(b, func(r *reader) error {
		return r.members(func(name string) error {
			if r.decoder.PeekKind() != jsontext.KindString {
				return errors.New("a member is no string")
			}
			value, err := r.string()
			members = append(members, member{name, value})
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	return func(yield func(string, string) bool) {
		for _, m := range members {
			if !yield(m.name, m.value) {
				return
			}
		}
	}, nil
}

// decode reads one value that nothing follows.
func decode(b []byte) (value any, err error) {
	err = decodeWith(b, func(r *reader) (err error) {
		value, err = r.value()
		return err
	})
	return value, err
}

// decodeWith reads a text that is one value, by read.
func decodeWith(b []byte, read func(*reader) error) error {
	if !utf8.Valid(b) {
		return errors.New("the text is not UTF-8")
	}
	// What is left of "invalid UTF-8" then are the halves of pairs in escapes ("\ud800"),
	// which programs that cut a text short do write. Each becomes U+FFFD.
	r := reader{decoder: jsontext.NewDecoder(bytes.NewBuffer(b), jsontext.AllowInvalidUTF8(true)), text: string(b)}
	err := read(&r)
	if err != nil {
		return err
	}
	_, err = r.decoder.ReadToken()
	if !errors.Is(err, io.EOF) {
		return errors.New("something follows the value")
	}
	return nil
}

// reader builds values from a decoder that refuses members that occur twice, and texts
// that are nested too deeply.
type reader struct {
	decoder *jsontext.Decoder
	// text is what is decoded. Strings that are written as they are share its memory.
	text string
}

func (r *reader) value() (any, error) {
	kind := r.decoder.PeekKind()
	if kind == jsontext.KindString {
		return r.string()
	}
	if kind == jsontext.KindBeginObject {
		return r.object()
	}
	if kind == jsontext.KindBeginArray {
		return r.array()
	}
	token, err := r.decoder.ReadToken()
	switch {
	case err != nil:
		return nil, err
	case kind == jsontext.KindNumber:
		return json.Number(token.String()), nil
	case kind == jsontext.KindTrue, kind == jsontext.KindFalse:
		return token.Bool(), nil
	case kind == jsontext.KindNull:
		return nil, nil //nolint:nilnil // It is the value.
	}
	return nil, errors.New("there is no value")
}

func (r *reader) string() (string, error) {
	raw, err := r.decoder.ReadValue()
	if err != nil {
		return "", err
	}
	if bytes.IndexByte(raw, '\\') < 0 {
		end := r.decoder.InputOffset()
		return r.text[end-int64(len(raw))+1 : end-1], nil
	}
	var unquoted string
	err = json.Unmarshal(raw, &unquoted) // Of one valid string there is one reading.
	return unquoted, err
}

func (r *reader) object() (map[string]any, error) {
	object := make(map[string]any, r.expected())
	err := r.members(func(name string) (err error) {
		object[name], err = r.value()
		return err
	})
	return object, err
}

// members reads an object, of which value reads the value of each member.
func (r *reader) members(value func(name string) error) error {
	begin, err := r.decoder.ReadToken()
	if err != nil {
		return err
	}
	if begin.Kind() != jsontext.KindBeginObject {
		return errors.New("the text is no object")
	}
	for r.decoder.PeekKind() != jsontext.KindEndObject {
		name, err := r.string()
		if err != nil {
			return err
		}
		err = value(name)
		if err != nil {
			return err
		}
	}
	_, err = r.decoder.ReadToken()
	return err
}

// expected guesses how many members the object has that comes next: those of the text for
// the outermost one, within bounds, and else a few.
func (r *reader) expected() int {
	if r.decoder.StackDepth() > 0 {
		return 0
	}
	return min(1+strings.Count(r.text, ","), 64)
}

func (r *reader) array() ([]any, error) {
	_, err := r.decoder.ReadToken()
	if err != nil {
		return nil, err
	}
	array := []any{}
	for r.decoder.PeekKind() != jsontext.KindEndArray {
		value, err := r.value()
		if err != nil {
			return nil, err
		}
		array = append(array, value)
	}
	_, err = r.decoder.ReadToken()
	return array, err
}
