package request

import (
	"net/url"
	"strconv"
)

// Parameters are named values that occurred once each and are not empty.
type Parameters map[string]string

// ParseParameters reads an application/x-www-form-urlencoded form or the query of
// a URL. A repeated parameter is refused (RFC 6749 section 3.2), whatever its
// name. One without a value counts as left out (same section).
func ParseParameters(s string) (Parameters, error) {
	values, err := url.ParseQuery(s)
	if err != nil {
		return nil, malformed("The parameters are not well-formed application/x-www-form-urlencoded.")
	}
	parameters := Parameters{}
	for name, all := range values {
		if len(all) > 1 {
			return nil, malformed("A parameter occurs more than once. Send each of them once.")
		}
		if all[0] != "" {
			parameters[name] = all[0]
		}
	}
	return parameters, nil
}

// Number returns the parameter of that name as a whole number from low to high, and
// absent where it is left out.
func (p Parameters) Number(name string, low, high, absent int64) (int64, error) {
	value, present := p[name]
	if !present {
		return absent, nil
	}
	n, ok := Decimal(value)
	if !ok || n < low || n > high {
		return 0, malformed("The parameter %q must be a whole number from %d to %d.", name, low, high)
	}
	return n, nil
}

// Decimal reads a whole number of at least zero in its one canonical form: digits
// without sign and leading zeros.
func Decimal(s string) (int64, bool) {
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil && n >= 0 && strconv.FormatInt(n, 10) == s
}
