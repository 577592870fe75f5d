package issuer_test

import (
	"fmt"

	"github.com/trustpub/trustpub/trustpubtest/issuer"
)

// A test starts an issuer, points the server under test to its URL, and changes one
// claim or one header member at a time.
func Example() {
	ci, err := issuer.Start(issuer.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = ci.Close() }()

	claims := ci.GitHubClaims().With("environment", "release").Without("sub")
	idToken, err := ci.Sign(claims)
	fmt.Println(idToken != "", err)

	forged, err := ci.Sign(claims, issuer.WithHeader("alg", "none"), issuer.WithoutSignature())
	fmt.Println(forged != "", err)

	ci.SetFault(issuer.KeySet, issuer.Fault{Status: 503})
	fmt.Println(ci.Requests(issuer.KeySet))
	// Output:
	// true <nil>
	// true <nil>
	// 0
}
