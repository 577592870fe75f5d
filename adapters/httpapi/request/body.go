package request

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"slices"
	"strings"

	"github.com/trustpub/trustpub/adapters/strictjson"
	"github.com/trustpub/trustpub/domain"
)

// MaxBody is the most bytes that a request body may have.
const MaxBody = 32 << 10

// The media types that are read.
const (
	JSON = "application/json"
	Form = "application/x-www-form-urlencoded"
	// Untyped stands for a request that has no Content-Type at all.
	Untyped = ""
)

// Body is a whole request body.
type Body struct {
	mediaType string
	content   []byte
}

// Read returns the body of r. It refuses with the status that HTTP has for it: a
// Content-Type that is missing, repeated or not among accepted, where [Untyped] stands
// for one that is missing, and any Content-Encoding, with 415; a body of more than
// [MaxBody] bytes with 413, of which no more than that is read, and nothing where
// Content-Length tells; a body that is too slow in coming with 408. w is the writer of the server itself, which
// learns to close the connection after an oversized body. Parameters of the
// Content-Type, such as a charset, make no difference: JSON is UTF-8 (RFC 8259
// section 8.1), and so is a form (RFC 6749 appendix B).
//
// oversize is the code of the error for a body that is too large.
func Read(w http.ResponseWriter, r *http.Request, oversize domain.Code, accepted ...string) (Body, error) {
	return ReadUpTo(MaxBody, w, r, oversize, accepted...)
}

// ReadUpTo is [Read] for an endpoint whose bodies have another bound than [MaxBody].
func ReadUpTo(most int64, w http.ResponseWriter, r *http.Request, oversize domain.Code, accepted ...string) (Body, error) {
	mediaType, ok := mediaTypeOf(r)
	if !ok || !slices.Contains(accepted, mediaType) {
		named := slices.DeleteFunc(slices.Clone(accepted), func(s string) bool { return s == Untyped })
		return Body{}, statusError(http.StatusUnsupportedMediaType, domain.CodeMalformedRequest,
			"The Content-Type is missing or not accepted here. Send %s.", strings.Join(named, " or "))
	}
	if !isPlain(r) {
		return Body{}, statusError(http.StatusUnsupportedMediaType, domain.CodeMalformedRequest,
			"The Content-Encoding is not accepted here. Send the body as it is.")
	}
	content, err := readAll(most, w, r, oversize)
	if err != nil {
		return Body{}, err
	}
	return Body{mediaType: mediaType, content: content}, nil
}

// Discard reads the body of r to its end where a protocol gives it no meaning, so
// that the connection can serve another request. It refuses as [Read] does, but for
// the type and the encoding.
func Discard(w http.ResponseWriter, r *http.Request) error {
	_, err := readAll(MaxBody, w, r, domain.CodeMalformedRequest)
	return err
}

// readAll returns a body of at most that many bytes.
func readAll(most int64, w http.ResponseWriter, r *http.Request, oversize domain.Code) ([]byte, error) {
	if r.ContentLength > most {
		// The connection is of no more use: the body that follows is not read.
		w.Header().Set("Connection", "close")
		return nil, tooLarge(most, oversize)
	}
	if body, ok := r.Body.(*ahead); ok && body.isWhole && int64(len(body.content)) <= most {
		return body.content, nil
	}
	content, err := readBounded(http.MaxBytesReader(w, r.Body, most), r.ContentLength)
	if _, is := errors.AsType[*http.MaxBytesError](err); is {
		return nil, tooLarge(most, oversize)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil, statusError(http.StatusRequestTimeout, domain.CodeMalformedRequest,
			"The request body was too slow in coming.")
	}
	if err != nil {
		return nil, malformed("The request body could not be read to its end.")
	}
	return content, nil
}

func tooLarge(most int64, code domain.Code) error {
	return statusError(http.StatusRequestEntityTooLarge, code, "The request body is larger than %d bytes.", most)
}

// readBounded reads a body of that length to its end; below zero is not known. A long
// one gets memory as it comes, and not for what its sender says is to come.
func readBounded(body io.Reader, length int64) ([]byte, error) {
	if length < 0 || length > MaxBody {
		return io.ReadAll(body)
	}
	content := make([]byte, length)
	n, err := io.ReadFull(body, content)
	return content[:n], err
}

// mediaTypeOf returns the media type of r, [Untyped] where r names none, and false
// where r does not name one media type.
func mediaTypeOf(r *http.Request) (string, bool) {
	values := r.Header.Values("Content-Type")
	if len(values) == 0 {
		return Untyped, true
	}
	if len(values) != 1 {
		return "", false
	}
	mediaType, _, err := mime.ParseMediaType(values[0])
	return mediaType, err == nil
}

func isPlain(r *http.Request) bool {
	return !slices.ContainsFunc(r.Header.Values("Content-Encoding"), func(s string) bool {
		return !strings.EqualFold(strings.TrimSpace(s), "identity")
	})
}

// IsForm reports whether r says that its body is a form.
func IsForm(r *http.Request) bool {
	mediaType, ok := mediaTypeOf(r)
	return ok && mediaType == Form
}

// Bytes returns the body as it came, which the caller does not change.
func (b Body) Bytes() []byte { return b.content }

// Object returns the members of a JSON body.
func (b Body) Object() (Object, error) { return ParseObject(b.content) }

// Objects returns the objects of a body that is a JSON array of them.
func (b Body) Objects() ([]Object, error) {
	objects, err := strictjson.Objects(b.content)
	if err != nil {
		return nil, malformed("The body is not one JSON array in UTF-8 of objects whose members occur once each.")
	}
	all := make([]Object, 0, len(objects))
	for _, object := range objects {
		all = append(all, object)
	}
	return all, nil
}

// Parameters returns the parameters of a form, or those of a JSON object that
// plays the part of one.
func (b Body) Parameters() (Parameters, error) {
	if b.mediaType == Form {
		return ParseParameters(string(b.content))
	}
	object, err := b.Object()
	if err != nil {
		return nil, err
	}
	return object.Parameters()
}
