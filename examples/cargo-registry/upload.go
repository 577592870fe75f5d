package main

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

const (
	// maxMetadata and maxCrate bound the two parts of an upload.
	maxMetadata, maxCrate = 1 << 20, 10 << 20
	// maxUpload is both, with their lengths.
	maxUpload = maxMetadata + maxCrate + 8
)

// readPart reads one part of an upload: a length of 32 bits, little-endian, and as many
// bytes (https://doc.rust-lang.org/cargo/reference/registry-web-api.html#publish).
func readPart(body io.Reader, what string, most uint32) ([]byte, error) {
	var length uint32
	err := binary.Read(body, binary.LittleEndian, &length)
	if err != nil {
		return nil, invalid("The upload ends before %s begins. Upload with cargo publish.", what)
	}
	if length > most {
		return nil, invalid("The upload's %s has %d bytes, more than %d.", what, length, most)
	}
	part, err := io.ReadAll(io.LimitReader(body, int64(length)))
	if err != nil || len(part) < int(length) {
		return nil, invalid("The upload ends within %s. Upload again.", what)
	}
	return part, nil
}

// readEnd makes sure that nothing follows.
func readEnd(body io.Reader) error {
	_, err := io.ReadFull(body, make([]byte, 1))
	if !errors.Is(err, io.EOF) {
		return invalid("Something follows the .crate in the upload. Upload with cargo publish.")
	}
	return nil
}

// metadata is what cargo says about a release, as far as the index repeats it.
type metadata struct {
	Name        string              `json:"name"`
	Version     string              `json:"vers"`
	Deps        []uploadedDep       `json:"deps"`
	Features    map[string][]string `json:"features"`
	Links       *string             `json:"links"`
	RustVersion *string             `json:"rust_version"`
}

// dep is what an upload and the index say alike about a dependency.
type dep struct {
	Features        []string `json:"features"`
	Optional        bool     `json:"optional"`
	DefaultFeatures bool     `json:"default_features"`
	Target          *string  `json:"target"`
	Kind            string   `json:"kind"`
	Registry        *string  `json:"registry"`
}

type uploadedDep struct {
	dep

	Name         string  `json:"name"`
	Requirement  string  `json:"version_req"`
	ExplicitName *string `json:"explicit_name_in_toml"`
}

type indexedDep struct {
	dep

	Name        string  `json:"name"`
	Requirement string  `json:"req"`
	Package     *string `json:"package,omitempty"`
}

// indexLine is a release in the index
// (https://doc.rust-lang.org/cargo/reference/registry-index.html#json-schema).
type indexLine struct {
	Name        string              `json:"name"`
	Version     string              `json:"vers"`
	Deps        []indexedDep        `json:"deps"`
	Checksum    string              `json:"cksum"`
	Features    map[string][]string `json:"features"`
	Yanked      bool                `json:"yanked"`
	Links       *string             `json:"links"`
	RustVersion *string             `json:"rust_version,omitempty"`
	// Schema is 2 where features may be written as dep:NAME and NAME?/FEATURE, which
	// every cargo that knows the sparse protocol can read.
	Schema int `json:"v"`
}

// readMetadata reads the first part of an upload and checks what it calls itself.
func readMetadata(body io.Reader) (metadata, release, error) {
	part, err := readPart(body, "the metadata", maxMetadata)
	if err != nil {
		return metadata{}, release{}, err
	}
	var m metadata
	err = json.Unmarshal(part, &m)
	if err != nil {
		return metadata{}, release{}, invalid("The upload's metadata is not the JSON that cargo sends. Upload with cargo publish.")
	}
	r, err := newRelease(m.Name, m.Version)
	return m, r, err
}

// line returns the release's line in the index, with its line break. A dependency that
// was renamed has its own name as name in an upload, and as package in the index.
func (m metadata) line(crate []byte) ([]byte, error) {
	deps := []indexedDep{}
	for _, d := range m.Deps {
		indexed := indexedDep{dep: d.dep, Name: d.Name, Requirement: d.Requirement}
		if d.ExplicitName != nil {
			indexed.Name, indexed.Package = *d.ExplicitName, &d.Name
		}
		deps = append(deps, indexed)
	}
	checksum := sha256.Sum256(crate)
	line, err := json.Marshal(indexLine{
		Name: m.Name, Version: m.Version, Deps: deps, Checksum: hex.EncodeToString(checksum[:]),
		Features: m.Features, Links: m.Links, RustVersion: m.RustVersion, Schema: 2,
	})
	if err != nil {
		return nil, fmt.Errorf("encode the line of the index: %w", err)
	}
	return append(line, '\n'), nil
}
