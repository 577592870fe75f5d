package main

import (
	"crypto/sha1" //nolint:gosec // npm sends it beside a SHA-512, for its oldest clients.
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"

	"github.com/trustpub/trustpub/adapters/strictjson"
	"github.com/trustpub/trustpub/domain"
)

// maxUpload is the most bytes that an upload has. A tarball is 3/4 of them at most, as it
// travels in base64.
const maxUpload = 32 << 20

// versionPattern is that of semver.org, and one name of a file.
var versionPattern = regexp.MustCompile(`^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)` +
	`(-(0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*)(\.(0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*))*)?(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?$`)

// tagPattern keeps tags apart from versions and ranges, such as v1 and x.
var tagPattern = regexp.MustCompile(`^[a-uwyz][a-z0-9-]{0,63}$`)

func isVersion(s string) bool { return len(s) <= 128 && versionPattern.MatchString(s) }

// upload is what npm publish sends, as far as it is looked at.
type upload struct {
	Name        string            `json:"name"`
	DistTags    map[string]string `json:"dist-tags"`
	Versions    map[string]stated `json:"versions"`
	Attachments map[string]struct {
		Data []byte `json:"data"` // In base64.
	} `json:"_attachments"`
}

// stated is what the client says of a version. It is compared with the tarball, and goes
// no further: what is told to others of a version comes from the tarball itself, so that
// nobody is shown another package.json than the one that is installed.
type stated struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Dist    struct {
		Integrity string `json:"integrity"`
		Shasum    string `json:"shasum"`
	} `json:"dist"`
}

// readUpload reads an upload of one new version of pkg. Errors are of KindInvalid, but
// for a body that is too large.
func readUpload(body io.Reader, pkg domain.Package) (release, []byte, error) {
	sent, err := decodeUpload(body)
	if err != nil {
		return release{}, nil, err
	}
	if len(sent.Versions) != 1 || len(sent.DistTags) != 1 || len(sent.Attachments) != 1 {
		return release{}, nil, invalid("The upload must hold one version, one tag and one attachment, which is the tarball. Provenance is not kept here: publish with --provenance=false.")
	}
	r := release{Name: pkg.Name}
	var said stated
	for r.Version, said = range sent.Versions {
	}
	var tagged string
	for r.Tag, tagged = range sent.DistTags {
	}
	tarball, isNamed := sent.Attachments[r.Name+"-"+r.Version+".tgz"]
	switch {
	case sent.Name != pkg.Name || said.Name != pkg.Name:
		return release{}, nil, invalid("The upload is not of the package %q, to which it was sent.", pkg.Name)
	case !isVersion(r.Version) || said.Version != r.Version || tagged != r.Version:
		return release{}, nil, invalid("The upload must name one and the same version everywhere, such as 1.2.3.")
	case !tagPattern.MatchString(r.Tag):
		return release{}, nil, invalid("The tag is not one that can be used here. Use lower-case letters, digits and hyphens, and nothing that looks like a version.")
	case !isNamed:
		return release{}, nil, invalid("The attachment must have the name of the package, a hyphen, the version and .tgz.")
	}
	sum512, sum1 := sha512.Sum512(tarball.Data), sha1.Sum(tarball.Data) //nolint:gosec // As above.
	r.Integrity = "sha512-" + base64.StdEncoding.EncodeToString(sum512[:])
	r.Shasum = hex.EncodeToString(sum1[:])
	if said.Dist.Integrity != r.Integrity || said.Dist.Shasum != r.Shasum {
		return release{}, nil, invalid("The tarball is not the one that integrity and shasum were made of. Publish again.")
	}
	r.Manifest, err = readTarball(tarball.Data, r.Name, r.Version)
	return r, tarball.Data, err
}

// decodeUpload reads the JSON of an upload, in which no member occurs twice.
func decodeUpload(body io.Reader) (upload, error) {
	content, err := io.ReadAll(body)
	if _, is := errors.AsType[*http.MaxBytesError](err); is {
		return upload{}, invalid("The upload is larger than %d bytes.", maxUpload)
	}
	if err != nil {
		return upload{}, invalid("The upload could not be read to its end.")
	}
	var sent upload
	_, err = strictjson.Object(content)
	if err == nil {
		err = json.Unmarshal(content, &sent)
	}
	if err != nil {
		return upload{}, invalid("The upload is not of the form that npm publish sends.")
	}
	return sent, nil
}

func invalid(format string, args ...any) error {
	return &domain.Error{Kind: domain.KindInvalid, Code: domain.CodeMalformedRequest, Message: fmt.Sprintf(format, args...)}
}
