package tracing

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"strconv"

	"github.com/XSAM/otelsql"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric/noop"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// OpenPostgreSQL is sql.OpenDB, with a span for each statement that is executed for
// something that is traced. It shows the statement, which is a text of ours, and none of
// its parameters.
func (t *Tracing) OpenPostgreSQL(connector driver.Connector) *sql.DB {
	return t.open(semconv.DBSystemNamePostgreSQL, connector)
}

// OpenSQLite is the same for SQLite.
func (t *Tracing) OpenSQLite(connector driver.Connector) *sql.DB {
	return t.open(semconv.DBSystemNameSQLite, connector)
}

func (t *Tracing) open(system attribute.KeyValue, connector driver.Connector) *sql.DB {
	if t == nil {
		return sql.OpenDB(connector)
	}
	return otelsql.OpenDB(connector,
		otelsql.WithTracerProvider(t.provider),
		otelsql.WithMeterProvider(noop.NewMeterProvider()), // Package metrics counts.
		otelsql.WithAttributes(system),
		otelsql.WithSpanErrorAttributesGetter(databaseError),
		otelsql.WithSpanOptions(otelsql.SpanOptions{
			OmitConnResetSession: true,
			// The text of an error may show a parameter.
			RecordError: func(error) bool { return false },
			// A migration and the keeping of the pool are nobody's request.
			SpanFilter: func(ctx context.Context, _ otelsql.Method, _ string, _ []driver.NamedValue) bool {
				return trace.SpanContextFromContext(ctx).IsValid()
			},
		}),
	)
}

// databaseError returns what sort of error the database has answered with: its code,
// where it has one.
func databaseError(err error) []attribute.KeyValue {
	code := ""
	if answer, ok := errors.AsType[interface {
		error
		SQLState() string
	}](err); ok {
		code = answer.SQLState()
	}
	if answer, ok := errors.AsType[interface {
		error
		Code() int
	}](err); ok {
		code = strconv.Itoa(answer.Code())
	}
	if code == "" {
		return []attribute.KeyValue{semconv.ErrorTypeKey.String(errorType(err))}
	}
	return []attribute.KeyValue{semconv.DBResponseStatusCode(code), semconv.ErrorTypeKey.String(code)}
}
