package request

import (
	"bytes"
	"io"
	"net/http"
)

// ReadAhead reads the body of r, at most as far as a handler will read it. The handler
// finds it, and what went wrong, as if it had not been read. A body that is announced
// as too large is not asked for.
func ReadAhead(r *http.Request, most int64) {
	if r.ContentLength == 0 || r.ContentLength > most {
		return
	}
	content, err := readBounded(io.LimitReader(r.Body, most+1), r.ContentLength)
	rest := io.Reader(r.Body)
	if err != nil {
		rest = failed{err}
	}
	r.Body = &ahead{
		Reader: io.MultiReader(bytes.NewReader(content), rest), Closer: r.Body,
		content: content, isWhole: err == nil && int64(len(content)) <= most,
	}
}

// ahead is a body that was read ahead.
type ahead struct {
	io.Reader
	io.Closer

	content []byte
	// isWhole tells that nothing follows content, and nothing was read of it.
	isWhole bool
}

// Read implements io.Reader.
func (a *ahead) Read(b []byte) (int, error) {
	a.isWhole = false
	return a.Reader.Read(b)
}

// failed is what follows in a body that could not be read to its end.
type failed struct{ err error }

func (f failed) Read([]byte) (int, error) { return 0, f.err }
