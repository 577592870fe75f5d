package oauth

import (
	"encoding/json"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/trustpub/trustpub/adapters/httpapi/request"
	"github.com/trustpub/trustpub/adapters/strictjson"
	"github.com/trustpub/trustpub/domain"
)

// tokenParameter reads the token that a revocation or introspection request is
// about. A token_type_hint is ignored, as there is one type of token.
func tokenParameter(c echo.Context) (string, error) {
	err := noQuery(c.Request())
	if err != nil {
		return "", err
	}
	body, err := request.Read(c.Response().Writer, c.Request(), domain.CodeMalformedRequest, request.Form)
	if err != nil {
		return "", err
	}
	parameters, err := body.Parameters()
	if err != nil {
		return "", err
	}
	token, present := parameters["token"]
	if !present {
		return "", invalidRequest("The parameter token is missing.")
	}
	return token, nil
}

// revoke answers RFC 7009 section 2. Who holds a token may end it, so that nothing
// else is asked for; a string that is no token of ours is as good as revoked
// (section 2.2).
func (d *Dialect) revoke(c echo.Context) error {
	token, err := tokenParameter(c)
	if err != nil {
		return err
	}
	err = d.cfg.Tokens.Revoke(c.Request().Context(), token)
	if err != nil && domain.KindOf(err) != domain.KindUnauthenticated {
		return err
	}
	return c.NoContent(http.StatusOK)
}

// introspect answers RFC 7662 section 2. A token that is no good is
// {"active":false} and no more, whatever the reason (section 2.2).
func (d *Dialect) introspect(c echo.Context) error {
	_, err := d.cfg.Authenticator.Authenticate(c.Request())
	if err != nil {
		return err
	}
	accessToken, err := tokenParameter(c)
	if err != nil {
		return err
	}
	token, err := d.cfg.Tokens.Introspect(c.Request().Context(), accessToken)
	if domain.KindOf(err) == domain.KindUnauthenticated {
		return c.JSON(http.StatusOK, struct {
			Active bool `json:"active"`
		}{false})
	}
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, show(token))
}

type coveredPackage struct {
	Ecosystem string `json:"ecosystem"`
	Name      string `json:"name"`
}

// activeToken is the introspection of a token that is good. Issuer and Subject are
// those of the ID token that it was exchanged for; times are Unix seconds.
type activeToken struct {
	Active    bool             `json:"active"`
	TokenType string           `json:"token_type"`
	ExpiresAt int64            `json:"exp"`
	IssuedAt  int64            `json:"iat"`
	Issuer    string           `json:"iss"`
	Subject   string           `json:"sub"`
	Scope     string           `json:"scope"`
	Packages  []coveredPackage `json:"packages"`
	Publisher json.RawMessage  `json:"publisher"`
}

func show(token domain.AccessToken) activeToken {
	packages := []coveredPackage{}
	for _, p := range token.Packages() {
		packages = append(packages, coveredPackage{Ecosystem: p.Ecosystem, Name: p.Name})
	}
	return activeToken{
		Active: true, TokenType: "Bearer",
		ExpiresAt: token.ExpiresAt.Unix(), IssuedAt: token.IssuedAt.Unix(),
		Issuer: token.Issuer, Subject: token.Subject,
		Scope: scope(token), Packages: packages, Publisher: strictjson.AppendStrings(nil, token.Publisher.All()),
	}
}

// metadata answers RFC 8414 section 3.2.
func (d *Dialect) metadata(c echo.Context) error {
	none := []string{"none"}
	return c.JSON(http.StatusOK, struct {
		Issuer                string   `json:"issuer"`
		TokenEndpoint         string   `json:"token_endpoint"`
		TokenAuth             []string `json:"token_endpoint_auth_methods_supported"`
		GrantTypes            []string `json:"grant_types_supported"`
		ResponseTypes         []string `json:"response_types_supported"`
		RevocationEndpoint    string   `json:"revocation_endpoint"`
		RevocationAuth        []string `json:"revocation_endpoint_auth_methods_supported"`
		IntrospectionEndpoint string   `json:"introspection_endpoint"`
		IntrospectionAuth     []string `json:"introspection_endpoint_auth_methods_supported"`
	}{
		Issuer:                d.cfg.Issuer,
		TokenEndpoint:         d.cfg.Issuer + TokenPath,
		TokenAuth:             none,
		GrantTypes:            []string{grantType},
		ResponseTypes:         []string{},
		RevocationEndpoint:    d.cfg.Issuer + RevokePath,
		RevocationAuth:        none,
		IntrospectionEndpoint: d.cfg.Issuer + IntrospectPath,
		// An access token type where an authentication method is expected says that
		// a bearer token is (RFC 8414 section 2).
		IntrospectionAuth: []string{"Bearer"},
	})
}
