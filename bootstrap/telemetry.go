package bootstrap

import (
	"cmp"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/trustpub/trustpub/adapters/tracing/exporter"
)

// Telemetry is the variables of the environment whose names begin with OTEL_, as
// OpenTelemetry's specification has them
// (https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/).
// [Server] alone reads them, and none of another program's keeps a command from its work.
// It prints as the names that are set: a value may hold a credential.
type Telemetry struct{ variables map[string]string }

// newTelemetry picks the variables out of an environment.
func newTelemetry(environment map[string]string) Telemetry {
	variables := maps.Clone(environment)
	maps.DeleteFunc(variables, func(name, _ string) bool { return !strings.HasPrefix(name, "OTEL_") })
	return Telemetry{variables}
}

// String returns the names of the variables that are set.
func (t Telemetry) String() string {
	return fmt.Sprint(slices.Sorted(maps.Keys(t.variables)))
}

// Format writes String whatever the verb.
func (t Telemetry) Format(f fmt.State, _ rune) { _, _ = fmt.Fprint(f, t.String()) }

// LogValue is String, for slog.
func (t Telemetry) LogValue() slog.Value { return slog.StringValue(t.String()) }

// MarshalText is String, for JSON and other encoders.
func (t Telemetry) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// The names of exporters.
const (
	exporterNone    = "none"
	exporterOTLP    = "otlp"
	exporterConsole = "console"
)

// exporter returns the exporter that is asked for, exporterNone where there is none.
func (t Telemetry) exporter() (string, error) {
	switch value := t.value("OTEL_SDK_DISABLED"); strings.ToLower(value) {
	case "true":
		return exporterNone, nil
	case "", "false":
	default:
		return "", unusable("OTEL_SDK_DISABLED", value, "use true or false")
	}
	switch name := t.value("OTEL_TRACES_EXPORTER"); name {
	case exporterNone, exporterOTLP, exporterConsole:
		return name, nil
	case "":
	default:
		return "", unusable("OTEL_TRACES_EXPORTER", name, "use otlp, console or none")
	}
	if cmp.Or(t.value("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"), t.value("OTEL_EXPORTER_OTLP_ENDPOINT")) != "" {
		return exporterOTLP, nil
	}
	return exporterNone, nil
}

// traces are what the variables say, read.
type traces struct {
	exporter   exporter.Config
	propagator propagation.TextMapPropagator
}

// traces reads the variables. nil is that nobody asked for traces. Errors are
// *SettingError.
func (t Telemetry) traces() (*traces, error) {
	name, err := t.exporter()
	if err != nil || name == exporterNone {
		return nil, err
	}
	read := &traces{}
	if name == exporterConsole {
		read.exporter.Console = os.Stdout
	} else {
		read.exporter.OTLP, err = t.otlp()
		if err != nil {
			return nil, err
		}
	}
	read.exporter.Sampler, err = t.sampler()
	if err != nil {
		return nil, err
	}
	read.exporter.Batch, err = t.batch()
	if err != nil {
		return nil, err
	}
	read.exporter.Resource, err = t.resource()
	if err != nil {
		return nil, err
	}
	read.propagator, err = t.propagator()
	return read, err
}

func (t Telemetry) sampler() (sdk.Sampler, error) {
	const always, never, ratio = "always_on", "always_off", "traceidratio"
	value := cmp.Or(t.value("OTEL_TRACES_SAMPLER"), "parentbased_"+always)
	root, isParentBased := strings.CutPrefix(value, "parentbased_")
	var sampler sdk.Sampler
	switch root {
	case always:
		sampler = sdk.AlwaysSample()
	case never:
		sampler = sdk.NeverSample()
	case ratio:
		share, err := t.ratio()
		if err != nil {
			return nil, err
		}
		sampler = sdk.TraceIDRatioBased(share)
	default:
		return nil, unusable("OTEL_TRACES_SAMPLER", value, "use "+strings.Join([]string{always, never, ratio}, ", ")+", or one of them after parentbased_")
	}
	if isParentBased {
		sampler = sdk.ParentBased(sampler)
	}
	return sampler, nil
}

func (t Telemetry) ratio() (float64, error) {
	const name = "OTEL_TRACES_SAMPLER_ARG"
	value := cmp.Or(t.value(name), "1")
	share, err := strconv.ParseFloat(value, 64)
	if err != nil || !(share >= 0 && share <= 1) { // NaN is neither.
		return 0, unusable(name, value, "use a number from 0 to 1, such as 0.1")
	}
	return share, nil
}

func (t Telemetry) batch() (exporter.Batch, error) {
	var b exporter.Batch
	for _, v := range []struct {
		name string
		set  func(number int)
	}{
		{"OTEL_BSP_SCHEDULE_DELAY", func(n int) { b.Delay = time.Duration(n) * time.Millisecond }},
		{"OTEL_BSP_EXPORT_TIMEOUT", func(n int) { b.Timeout = time.Duration(n) * time.Millisecond }},
		{"OTEL_BSP_MAX_QUEUE_SIZE", func(n int) { b.Queue = n }},
		{"OTEL_BSP_MAX_EXPORT_BATCH_SIZE", func(n int) { b.Size = n }},
	} {
		number, err := t.number(v.name)
		if err != nil {
			return exporter.Batch{}, err
		}
		v.set(number)
	}
	// The defaults of the specification.
	if queue, size := cmp.Or(b.Queue, 2048), cmp.Or(b.Size, 512); size > queue {
		if b.Size != 0 {
			return exporter.Batch{}, unusable("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", strconv.Itoa(size), fmt.Sprintf("use at most OTEL_BSP_MAX_QUEUE_SIZE, which is %d", queue))
		}
		b.Size = queue
	}
	return b, nil
}

// resource returns whose the spans are.
func (t Telemetry) resource() ([]attribute.KeyValue, error) {
	const name = "OTEL_RESOURCE_ATTRIBUTES"
	pairs, err := pairs(t.value(name))
	if err != nil {
		return nil, &SettingError{name, err.Error()}
	}
	attributes := []attribute.KeyValue{semconv.ServiceName("trustpub")}
	for _, pair := range pairs {
		attributes = append(attributes, attribute.String(pair.key, pair.value))
	}
	if service := t.value("OTEL_SERVICE_NAME"); service != "" {
		attributes = append(attributes, semconv.ServiceName(service)) // The last one wins.
	}
	return attributes, nil
}

func (t Telemetry) propagator() (propagation.TextMapPropagator, error) {
	const name, accepted = "OTEL_PROPAGATORS", "use tracecontext, baggage or none, separated by commas"
	var propagators []propagation.TextMapPropagator
	for part := range strings.SplitSeq(cmp.Or(t.value(name), "tracecontext"), ",") {
		switch part = strings.TrimSpace(part); part {
		case "tracecontext":
			propagators = append(propagators, propagation.TraceContext{})
		case "baggage", exporterNone: // A client's baggage is not taken over anyway.
		default:
			return nil, unusable(name, part, accepted)
		}
	}
	return propagation.NewCompositeTextMapPropagator(propagators...), nil
}

// value returns a variable without white space around it; empty is not set.
func (t Telemetry) value(name string) string { return strings.TrimSpace(t.variables[name]) }

// number returns a variable that is a number above zero; 0 is not set.
func (t Telemetry) number(name string) (int, error) {
	value := t.value(name)
	if value == "" {
		return 0, nil
	}
	number, err := strconv.ParseUint(value, 10, 31)
	if err != nil || number == 0 {
		return 0, unusable(name, value, fmt.Sprintf("use a whole number from 1 to %d", math.MaxInt32))
	}
	return int(number), nil
}

func unusable(name, value, accepted string) error {
	return &SettingError{name, fmt.Sprintf("%q is not usable; %s", value, accepted)}
}
