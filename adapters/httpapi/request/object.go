package request

import (
	"slices"
	"strings"

	"github.com/trustpub/trustpub/adapters/strictjson"
)

// Object is a JSON object, decoded by strictjson: by its member names, which
// compare byte for byte and occur once each.
type Object map[string]any

// ParseObject reads data, which must be one JSON object in UTF-8 and nothing else.
func ParseObject(data []byte) (Object, error) {
	object, err := strictjson.Object(data)
	if err != nil {
		return nil, malformed("The body is not one JSON object in UTF-8 whose members occur once each.")
	}
	return object, nil
}

// Has reports whether there is a member of that name.
func (o Object) Has(name string) bool {
	_, present := o[name]
	return present
}

// String returns the member of that name, which must be a string, and nil where it
// is absent or null.
func (o Object) String(name string) (*string, error) {
	if o[name] == nil {
		return nil, nil
	}
	value, ok := o[name].(string)
	if !ok {
		return nil, malformed("The member %q must be a string.", name)
	}
	return &value, nil
}

// Token returns the member of that name, which must be there: an ID token or an access
// token, as what says for the client. Other members are ignored, as the registries do
// whose protocols these are, but not one that differs from it in case alone, which
// another reader of the request might take for it.
func (o Object) Token(name, what string) (string, error) {
	for other := range o {
		if other != name && strings.EqualFold(other, name) {
			return "", malformed("The member %s is spelt in lower case.", name)
		}
	}
	token, err := o.String(name)
	if err != nil {
		return "", err
	}
	if token == nil {
		return "", malformed(`The request has no %s. Send {"%s":"…"} with %s.`, name, name, what)
	}
	return *token, nil
}

// PositiveInt64 returns the member of that name, which must be a JSON number
// without fraction and exponent from 1 to the largest int64, and 0 where it is
// absent or null. No number is rounded.
func (o Object) PositiveInt64(name string) (int64, error) {
	if o[name] == nil {
		return 0, nil
	}
	number, ok := o[name].(interface{ Int64() (int64, error) })
	if !ok {
		return 0, malformed("The member %q must be a number, not in quotes.", name)
	}
	value, err := number.Int64()
	if err != nil || value <= 0 {
		return 0, malformed("The member %q must be a whole number above zero.", name)
	}
	return value, nil
}

// Object returns the member of that name, which must be an object.
func (o Object) Object(name string) (Object, error) {
	object, ok := o[name].(map[string]any)
	if !ok {
		return nil, malformed("The member %q is missing. It must be an object.", name)
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

// Parameters returns the members of an object that plays the part of a form: each
// is a string, and one that is null or empty counts as left out.
func (o Object) Parameters() (Parameters, error) {
	parameters := Parameters{}
	for name := range o {
		value, err := o.String(name)
		if err != nil {
			return nil, malformed("A member of the JSON object is not a string. Send every parameter as a string.")
		}
		if value != nil && *value != "" {
			parameters[name] = *value
		}
	}
	return parameters, nil
}
