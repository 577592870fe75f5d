package httpapi

import "github.com/labstack/echo/v4"

// Routes returns what is registered, for comparison with the OpenAPI document.
func (a *API) Routes() []*echo.Route { return a.echo.Routes() }
