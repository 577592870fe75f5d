// Package openapi holds the description of the HTTP API: openapi.json, an OpenAPI
// 3.1 document that is kept by hand and that a test compares with the API.
package openapi

import _ "embed"

//go:embed openapi.json
var document string

// Document returns the document.
func Document() []byte { return []byte(document) }
