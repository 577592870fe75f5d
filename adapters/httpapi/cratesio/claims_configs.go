package cratesio

import (
	"strconv"
	"time"

	"github.com/trustpub/trustpub/adapters/httpapi/request"
	"github.com/trustpub/trustpub/domain"
)

// claimsConfig is a config for a provider that is described by a definition, as
// clients see it.
type claimsConfig struct {
	ID        int64             `json:"id"`
	Provider  string            `json:"provider"`
	Package   string            `json:"package"`
	Ecosystem string            `json:"ecosystem"`
	Claims    map[string]any    `json:"claims"`
	Pinned    map[string]string `json:"pinned"`
	Issuer    string            `json:"issuer"`
	CreatedAt time.Time         `json:"created_at"`
}

func showClaimsConfig(config domain.Config) any {
	common := config.Common()
	shown := claimsConfig{
		ID:        common.ID,
		Provider:  common.Provider,
		Package:   common.Package.Name,
		Ecosystem: common.Package.Ecosystem,
		Claims:    map[string]any{},
		Pinned:    common.Pinned,
		Issuer:    common.Issuer,
		CreatedAt: common.CreatedAt.UTC(),
	}
	if shown.Pinned == nil {
		shown.Pinned = map[string]string{}
	}
	if claims, ok := config.(domain.ClaimsConfig); ok {
		for name, values := range claims.Claims() {
			shown.Claims[name] = values
			if len(values) == 1 {
				shown.Claims[name] = values[0]
			}
		}
	}
	return shown
}

func claimsConfigParams(object request.Object) (domain.ConfigParams, error) {
	values, err := stringsOf(object, []string{"provider", "package", "ecosystem", "issuer"}, "claims")
	if err != nil {
		return nil, err
	}
	if _, named := values["package"]; !named {
		return nil, domain.Invalid(domain.CodeMalformedRequest, "The package is missing. Name it with package.")
	}
	pkg, err := packageOf(values)
	if err != nil {
		return nil, err
	}
	claims, err := object.Object("claims")
	if err != nil {
		return nil, err
	}
	params := domain.ClaimsConfigParams{
		Package: pkg, Provider: values["provider"], Issuer: values["issuer"], Claims: map[string][]string{},
	}
	for name, value := range claims {
		texts, ok := claimTexts(value)
		if !ok {
			return nil, domain.Invalid(domain.CodeMalformedRequest, "A claim must be a string, a number, a boolean, or an array of these.")
		}
		params.Claims[name] = texts
	}
	return params, nil
}

// claimTexts returns the values of a claim as text, which is how they are compared:
// an ID is a string at one provider and a number at another.
func claimTexts(value any) ([]string, bool) {
	list, isList := value.([]any)
	if !isList {
		list = []any{value}
	}
	texts := make([]string, 0, len(list))
	for _, member := range list {
		switch member := member.(type) {
		case string:
			texts = append(texts, member)
		case bool:
			texts = append(texts, strconv.FormatBool(member))
		case interface {
			String() string
			Int64() (int64, error)
		}:
			texts = append(texts, member.String())
		default:
			return nil, false
		}
	}
	return texts, true
}
