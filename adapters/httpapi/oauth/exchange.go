package oauth

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/trustpub/trustpub/adapters/httpapi/request"
	"github.com/trustpub/trustpub/application"
	"github.com/trustpub/trustpub/domain"
)

// The identifiers of RFC 8693 (sections 2.1 and 3).
const (
	grantType       = "urn:ietf:params:oauth:grant-type:token-exchange"
	tokenTypePrefix = "urn:ietf:params:oauth:token-type:" //nolint:gosec // This is a name.
	accessTokenType = tokenTypePrefix + "access_token"
	idTokenType     = tokenTypePrefix + "id_token"
	jwtType         = tokenTypePrefix + "jwt"
)

// PostToken is the token endpoint. It answers a token exchange request (RFC 8693
// section 2.1) in a form, or in a JSON object with the same members. The ID token
// is all the credential that a CI job has, so client authentication is neither
// asked for nor looked at, be it in an Authorization header or in parameters.
// Parameters that are not known are ignored (RFC 6749 section 3.2).
func (d *Dialect) PostToken(c echo.Context) error {
	return Handle(func(c echo.Context) error {
		body, err := request.Read(c.Response().Writer, c.Request(), domain.CodeMalformedJWT, request.Form, request.JSON)
		if err != nil {
			return err
		}
		parameters, err := body.Parameters()
		if err != nil {
			return err
		}
		return d.exchange(c, parameters)
	})(c)
}

// PostObject is PostToken for a JSON body that was read already.
func (d *Dialect) PostObject(c echo.Context, object request.Object) error {
	return Handle(func(c echo.Context) error {
		parameters, err := object.Parameters()
		if err != nil {
			return err
		}
		return d.exchange(c, parameters)
	})(c)
}

func (d *Dialect) exchange(c echo.Context, parameters request.Parameters) error {
	err := noQuery(c.Request())
	if err != nil {
		return err
	}
	exchange, err := d.exchangeRequest(parameters)
	if err != nil {
		return err
	}
	issued, err := d.cfg.Exchange.Exchange(c.Request().Context(), exchange)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, struct {
		AccessToken     string `json:"access_token"`
		IssuedTokenType string `json:"issued_token_type"`
		TokenType       string `json:"token_type"`
		ExpiresIn       int64  `json:"expires_in"`
		Scope           string `json:"scope"`
	}{
		AccessToken:     issued.Secret.Reveal(),
		IssuedTokenType: accessTokenType,
		TokenType:       "Bearer",
		ExpiresIn:       d.secondsUntil(issued.Token.ExpiresAt),
		Scope:           scope(issued.Token),
	})
}

// exchangeRequest checks the parameters in the order in which RFC 8693 section 2.1
// describes them.
func (d *Dialect) exchangeRequest(parameters request.Parameters) (application.ExchangeRequest, error) {
	exchange := application.ExchangeRequest{Protocol: Protocol}
	switch parameters["grant_type"] {
	case grantType:
	case "":
		return exchange, invalidRequest("The parameter grant_type is missing. It must be " + grantType + ".")
	default:
		return exchange, domain.Invalid(domain.CodeUnsupportedGrantType, "The only grant_type here is %s.", grantType)
	}
	err := d.checkTarget(parameters)
	if err != nil {
		return exchange, err
	}
	if scope, narrowed := parameters["scope"]; narrowed {
		exchange.Packages, err = domain.ParseScope(scope)
		if err != nil {
			return exchange, err
		}
	}
	requested, named := parameters["requested_token_type"]
	if named && requested != accessTokenType {
		return exchange, invalidRequest("The only requested_token_type here is " + accessTokenType + ".")
	}
	exchange.IDToken = parameters["subject_token"]
	if exchange.IDToken == "" {
		return exchange, invalidRequest("The parameter subject_token is missing. It is the ID token of the CI job.")
	}
	if !slices.Contains([]string{idTokenType, jwtType}, parameters["subject_token_type"]) {
		return exchange, invalidRequest("The parameter subject_token_type must be " + idTokenType + " or " + jwtType + ".")
	}
	for _, name := range []string{"actor_token", "actor_token_type"} {
		if _, delegated := parameters[name]; delegated {
			return exchange, invalidRequest("Delegation is not supported here. Leave the parameter " + name + " out.")
		}
	}
	return exchange, nil
}

// checkTarget refuses a resource or an audience other than this registry.
func (d *Dialect) checkTarget(parameters request.Parameters) error {
	resource, named := parameters["resource"]
	if named && resource != d.cfg.Issuer {
		return domain.Invalid(domain.CodeInvalidTarget, "The only resource here is %s. Leave the parameter out.", d.cfg.Issuer)
	}
	audience, named := parameters["audience"]
	if named && audience != d.cfg.Audience {
		return domain.Invalid(domain.CodeInvalidTarget, "The only audience here is %s. Use it for the ID token too.", d.cfg.Audience)
	}
	return nil
}

func invalidRequest(message string) error {
	return &domain.Error{Kind: domain.KindInvalid, Code: domain.CodeMalformedRequest, Message: message}
}

// secondsUntil returns the whole seconds that are left until t, never more than
// there are.
func (d *Dialect) secondsUntil(t time.Time) int64 {
	return max(0, int64(t.Sub(d.cfg.Now())/time.Second))
}

// scope returns the scope tokens of the packages that the token covers.
func scope(token domain.AccessToken) string {
	var scopes []string
	for _, p := range token.Packages() {
		scopes = append(scopes, p.Scope())
	}
	return strings.Join(scopes, " ")
}
