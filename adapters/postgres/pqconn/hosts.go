package pqconn

import (
	"cmp"
	"net/url"
	"strings"
)

// defaultPort is PostgreSQL's.
const defaultPort = "5432"

// spreadPorts turns several hosts with ports of their own, "postgres://a:5432,b:5433/",
// which is how libpq takes them
// (https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS), into
// what lib/pq takes, "postgres://a,b/?port=5432,5433". It would look up the host
// "a:5432" otherwise. Any other address is returned as it is, IPv6 addresses included.
func spreadPorts(address string) string {
	parsed, err := url.Parse(address)
	if err != nil || !strings.Contains(parsed.Host, ",") || !strings.Contains(parsed.Host, ":") ||
		strings.Contains(parsed.Host, "[") || parsed.Query().Has("port") {
		return address
	}
	var hosts, ports []string
	for host := range strings.SplitSeq(parsed.Host, ",") {
		name, port, _ := strings.Cut(host, ":")
		hosts, ports = append(hosts, name), append(ports, cmp.Or(port, defaultPort))
	}
	parsed.Host = strings.Join(hosts, ",")
	parsed.RawQuery = strings.TrimPrefix(parsed.RawQuery+"&port="+strings.Join(ports, ","), "&")
	return parsed.String()
}
