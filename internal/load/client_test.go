package main

import (
	"bufio"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// canned is a connection to a server that always says the same.
type canned struct {
	net.Conn

	answer string
}

func (c canned) Read(b []byte) (int, error)     { return copy(b, c.answer), nil }
func (canned) Write(b []byte) (int, error)      { return len(b), nil }
func (canned) SetDeadline(time.Time) error      { return nil }
func (canned) Close() error                     { return nil }
func (canned) SetReadDeadline(time.Time) error  { return nil }
func (canned) SetWriteDeadline(time.Time) error { return nil }

func TestARequestThatSucceedsAllocatesNothing(t *testing.T) {
	conn := canned{answer: "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: Mon, 02 Jan 2006 15:04:05 GMT\r\nContent-Length: 11\r\n\r\n{\"token\":1}"}
	c := client{conn: conn, reader: bufio.NewReader(conn), timeout: requestTimeout}
	s := site{addresses: []string{"127.0.0.1:1"}, jwts: []string{strings.Repeat("j", 1800), strings.Repeat("w", 1700)}}
	p := plan{request: s.exchangeRequest(0), answered: func(_ int, body []byte) {
		if string(body) != `{"token":1}` {
			t.Errorf("the body is %q", body)
		}
	}}
	i := 0

	require.Zero(t, testing.AllocsPerRun(1000, func() {
		i++
		if !c.send(&p, i%2) {
			t.Error(c.refusals)
		}
	}))
	require.Equal(t, "PUT /api/v1/trusted_publishing/tokens HTTP/1.1\r\nHost: 127.0.0.1:1\r\nContent-Type: application/json\r\nContent-Length: 1810\r\n\r\n"+
		`{"jwt":"`+s.jwts[0]+`"}`, string(p.request(nil, 0)))
}

func TestHeadsAreReadByHandWhereThatIsSafe(t *testing.T) {
	for name, tt := range map[string]struct {
		head string
		want head
		not  bool
	}{
		"with a body":                 {head: "HTTP/1.1 200 OK\r\nContent-Length: 12\r\nDate: x", want: head{status: 200, length: 12}},
		"without one":                 {head: "HTTP/1.1 400 Bad Request\r\ncontent-LENGTH:0 ", want: head{status: 400}},
		"that is the last":            {head: "HTTP/1.1 503 \r\nConnection: Close\r\nContent-Length: 1", want: head{status: 503, length: 1, last: true}},
		"with chunks":                 {head: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked", not: true},
		"with chunks and a length":    {head: "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked", not: true},
		"of a body of unknown length": {head: "HTTP/1.1 200 OK\r\nDate: x", not: true},
		"with two lengths":            {head: "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1", not: true},
		"with a list of lengths":      {head: "HTTP/1.1 200 OK\r\nContent-Length: 1, 1", not: true},
		"with a negative length":      {head: "HTTP/1.1 200 OK\r\nContent-Length: -1", not: true},
		"with an empty length":        {head: "HTTP/1.1 200 OK\r\nContent-Length:", not: true},
		"of a body that is too long":  {head: "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999", not: true},
		"of an older version":         {head: "HTTP/1.0 200 OK\r\nContent-Length: 1", not: true},
		"that comes before another":   {head: "HTTP/1.1 103 Early Hints\r\nContent-Length: 1", not: true},
		"that never has a body":       {head: "HTTP/1.1 204 No Content\r\nContent-Length: 1", not: true},
		"of no status":                {head: "HTTP/1.1 2x0 OK\r\nContent-Length: 1", not: true},
		"of nothing":                  {head: "HTTP/1.1 ", not: true},
	} {
		tt.want.size = len(tt.head) + 4
		h, ok := parseHead([]byte(tt.head + "\r\n\r\nbody"))
		require.Equal(t, !tt.not, ok, name)
		if ok {
			require.Equal(t, tt.want, h, name)
		}
		_, ok = parseHead([]byte(tt.head + "\r\n"))
		require.False(t, ok, "%s, and not all there", name)
	}
}

func TestAnswersAreReadWhateverTheirForm(t *testing.T) {
	long := strings.Repeat("long ", 20000)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/chunks":
			for range 3 {
				_, _ = w.Write([]byte("chunk"))
				w.(http.Flusher).Flush()
			}
		case "/long":
			_, _ = w.Write([]byte(long))
		case "/long-with-length":
			w.Header().Set("Content-Length", "100000")
			_, _ = w.Write([]byte(long))
		case "/long-head":
			w.Header().Set("X-Long", strings.Repeat("x", 10000))
			_, _ = w.Write([]byte("short"))
		}
	}))
	defer server.Close()
	for path, want := range map[string]string{"/chunks": "chunkchunkchunk", "/long": long, "/long-with-length": long, "/long-head": "short", "/empty": ""} {
		var bodies []string
		o := drive(t.Context(), plan{
			addresses: []string{server.Listener.Addr().String()}, connections: 1, n: 2, request: get(path),
			answered: func(_ int, body []byte) { bodies = append(bodies, string(body)) },
		})
		require.Empty(t, o.refusals, path)
		require.Equal(t, []string{want, want}, bodies, path)
	}
}

func TestAServerThatHangsIsNoAnswer(t *testing.T) {
	var config net.ListenConfig
	listener, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = listener.Close() }()

	o := drive(t.Context(), plan{addresses: []string{listener.Addr().String()}, connections: 2, n: 2, request: get("/"), timeout: 50 * time.Millisecond})

	require.Zero(t, o.succeeded)
	require.GreaterOrEqual(t, o.took, 50*time.Millisecond)
	require.Less(t, o.took, 10*time.Second)
	for why := range o.refusals {
		require.Contains(t, why, "no answer: read: ")
		require.Contains(t, why, "i/o timeout")
	}
	require.NotEmpty(t, o.refusals)
}
