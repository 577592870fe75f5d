package httpapi

import (
	"net/http"
	"time"
)

// NewServer returns a server for handler that no client can hold up: each time-out
// is set, and so is the size of the headers. It listens on nothing yet.
func NewServer(handler http.Handler) *http.Server {
	return &http.Server{
		Handler:           closeAfterCoding(handler),
		ReadHeaderTimeout: 5 * time.Second,
		// From the first byte of a request to the last of its body, which is small.
		ReadTimeout: 10 * time.Second,
		// From the end of the headers to the end of the answer: the body, the
		// request's own deadline, and some time to send the answer.
		WriteTimeout: 10*time.Second + DefaultRequestTimeout + 5*time.Second,
		IdleTimeout:  time.Minute,
		// The largest header is an Authorization with an ID token of up to 16 KiB.
		MaxHeaderBytes: 32 << 10,
	}
}

// closeAfterCoding ends the connection after a request with a transfer coding, which no
// client of this API needs. One that names a length as well could have another request
// behind it that a proxy takes for its body (RFC 9112 section 6.1); net/http hides the
// length from the handler, and would go on to answer that request.
func closeAfterCoding(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(r.TransferEncoding) > 0 {
			w.Header().Set("Connection", "close")
		}
		handler.ServeHTTP(w, r)
	})
}
