package request

import (
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4/json"
)

// Object is a JSON object taken apart by its member names, which compare byte for
// byte and occur once each. The standard library's decoder folds the case of names
// and keeps the last of several, so that two readers of one request may see two
// different requests.
type Object map[string]json.RawMessage

// ParseObject reads data, which must be one JSON object in UTF-8 and nothing else.
func ParseObject(data []byte) (Object, error) {
	var object Object
	if !utf8.Valid(data) {
		return nil, malformed("The JSON is not UTF-8.")
	}
	err := json.Unmarshal(data, &object)
	if err != nil || object == nil {
		return nil, malformed("The JSON is not one object whose members occur once each.")
	}
	return object, nil
}

// isNull reports whether the member is absent or null, which mean the same.
func (o Object) isNull(name string) bool {
	raw, present := o[name]
	return !present || string(raw) == "null"
}

// Has reports whether there is a member of that name.
func (o Object) Has(name string) bool {
	_, present := o[name]
	return present
}

// String returns the member of that name, which must be a string, and nil where it
// is absent or null.
func (o Object) String(name string) (*string, error) {
	if o.isNull(name) {
		return nil, nil
	}
	var value string
	err := json.Unmarshal(o[name], &value)
	if err != nil {
		return nil, malformed("The member %q must be a string.", name)
	}
	return &value, nil
}

// PositiveInt64 returns the member of that name, which must be a JSON number
// without fraction and exponent from 1 to the largest int64, and 0 where it is
// absent or null. No number is rounded.
func (o Object) PositiveInt64(name string) (int64, error) {
	if o.isNull(name) {
		return 0, nil
	}
	value, err := strconv.ParseInt(string(o[name]), 10, 64)
	if err != nil || value <= 0 {
		return 0, malformed("The member %q must be a whole number above zero, not in quotes.", name)
	}
	return value, nil
}

// Object returns the member of that name, which must be an object.
func (o Object) Object(name string) (Object, error) {
	if o.isNull(name) {
		return nil, malformed("The member %q is missing. It must be an object.", name)
	}
	object, err := ParseObject(o[name])
	if err != nil {
		return nil, malformed("The member %q must be an object whose members occur once each.", name)
	}
	return object, nil
}

// Only refuses members other than those named: a misspelt one would otherwise go
// unnoticed, and with it the restriction that it was to make.
func (o Object) Only(names ...string) error {
	for name := range o {
		if !slices.Contains(names, name) {
			return malformed("The JSON has a member that is not known here. Those known are %s.", strings.Join(names, ", "))
		}
	}
	return nil
}
