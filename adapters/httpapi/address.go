package httpapi

import (
	"net"
	"net/netip"

	"github.com/labstack/echo/v4"
)

// clientAddress returns what tells the address of a client: the peer's, or, where the
// peer is one of the trusted proxies, the last one in X-Forwarded-For that is none of
// them. Whatever stands before that was written by the client, and is not looked at.
func clientAddress(trusted []netip.Prefix) echo.IPExtractor {
	if len(trusted) == 0 {
		return echo.ExtractIPDirect()
	}
	// Of itself echo would trust every private address.
	options := []echo.TrustOption{echo.TrustLoopback(false), echo.TrustLinkLocal(false), echo.TrustPrivateNet(false)}
	for _, prefix := range trusted {
		options = append(options, echo.TrustIPRange(&net.IPNet{
			IP:   prefix.Masked().Addr().AsSlice(),
			Mask: net.CIDRMask(prefix.Bits(), prefix.Addr().BitLen()),
		}))
	}
	return echo.ExtractIPFromXFFHeader(options...)
}

// networkOf returns whose rate a request counts for: an address of IPv4, and the /64 of
// one of IPv6, of which every host has as many addresses as it likes (RFC 4291 section
// 2.5.4).
func networkOf(address string) string {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return address
	}
	ip = ip.Unmap().WithZone("")
	if ip.Is4() {
		return ip.String()
	}
	return netip.PrefixFrom(ip, 64).Masked().String()
}
