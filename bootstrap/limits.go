package bootstrap

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/trustpub/trustpub/adapters/httpapi"
	"github.com/trustpub/trustpub/adapters/ratelimit"
)

// Rate is how many requests may come at once, and how many come back in the time Per.
// The zero value is no limit.
type Rate struct {
	Requests int
	Per      time.Duration
}

// maxRate is the largest number of requests in a [Rate].
const maxRate = 1_000_000

// UnmarshalText accepts NUMBER/s, NUMBER/m and NUMBER/h.
func (r *Rate) UnmarshalText(text []byte) error {
	number, unit, _ := strings.Cut(string(text), "/")
	per := map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour}[unit]
	requests, err := strconv.ParseUint(number, 10, 31)
	if per == 0 || err != nil || requests < 1 || requests > maxRate {
		return badValue("%q is no rate; use NUMBER/s, NUMBER/m or NUMBER/h with 1 to %d, such as 10/s", text, maxRate)
	}
	*r = Rate{Requests: int(requests), Per: per}
	return nil
}

// MarshalText is what UnmarshalText accepts; nothing for no limit.
func (r Rate) MarshalText() ([]byte, error) {
	if r == (Rate{}) {
		return nil, nil
	}
	units := map[time.Duration]string{time.Second: "s", time.Minute: "m", time.Hour: "h"}
	return fmt.Appendf(nil, "%d/%s", r.Requests, units[r.Per]), nil
}

// limiter returns a limiter with that rate, and nil for no limit.
func (r Rate) limiter() (*ratelimit.Limiter, error) {
	if r == (Rate{}) {
		return nil, nil //nolint:nilnil // No limit is what was asked for.
	}
	return ratelimit.New(ratelimit.Config{Requests: r.Requests, Per: r.Per, Now: time.Now})
}

// Network is a range of addresses.
type Network struct{ netip.Prefix }

// UnmarshalText accepts a CIDR whose bits beyond the length are zero.
func (n *Network) UnmarshalText(text []byte) error {
	prefix, err := netip.ParsePrefix(strings.TrimSpace(string(text)))
	if err != nil || prefix != prefix.Masked() || prefix.Addr().Is4In6() {
		return badValue("%q is no network; use CIDRs such as 10.0.0.0/8 or fd00::/8, and /32 or /128 for one address", text)
	}
	n.Prefix = prefix
	return nil
}

// validateLimits checks how much the server takes on.
func (s Settings) validateLimits() error {
	switch {
	case s.MaxRequests < 1 || s.MaxRequests > maxRate:
		return &SettingError{"TRUSTPUB_MAX_REQUESTS", fmt.Sprintf("%d is out of range; use 1 to %d", s.MaxRequests, maxRate)}
	case s.MaxConnections < 1 || s.MaxConnections > maxRate:
		return &SettingError{"TRUSTPUB_MAX_CONNECTIONS", fmt.Sprintf("%d is out of range; use 1 to %d", s.MaxConnections, maxRate)}
	}
	return nil
}

// limit sets the limits of the API.
func (s Settings) limit(cfg *httpapi.Config) error {
	cfg.MaxRequests = s.MaxRequests
	for _, network := range s.TrustedProxies {
		cfg.TrustedProxies = append(cfg.TrustedProxies, network.Prefix)
	}
	addresses, err := s.RatePerAddress.limiter()
	if err != nil {
		return err
	}
	if addresses != nil {
		cfg.AddressLimit = addresses
	}
	return nil
}
