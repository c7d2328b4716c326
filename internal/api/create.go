package api

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/agnivade/levenshtein"

	"github.com/knnlabs/conduit/internal/key"
	"github.com/knnlabs/conduit/internal/provider"
	"github.com/knnlabs/conduit/internal/task"
)

// The gateway's own limits (rest-api C.7); a model's may be narrower.
const (
	maxPrompt         = 32_000 // characters
	maxUser           = 256    // characters
	maxModel          = 256    // characters
	maxN              = 10
	maxDuration       = 60      // seconds
	maxFPS            = 120     // frames a second
	maxTimeout        = 3600    // seconds
	maxIdempotencyKey = 255     // bytes
	randomSeeds       = 1 << 53 // below it: a seed of ours survives JSON in JavaScript
)

// The values of response_format.
const (
	formatURL    = "url"
	formatBase64 = "b64_json"
)

var sizePattern = regexp.MustCompile(`^(\d{2,5})x(\d{2,5})$`)

// fieldsOf are the fields that a request of a kind may have, in the order in
// which they are checked.
func fieldsOf(kind provider.Kind) []string {
	if kind == provider.Image {
		return []string{"prompt", "model", "size", "seed", "n", "quality", "operation", "response_format", "user", "timeout_seconds"}
	}
	return []string{"prompt", "model", "size", "duration", "fps", "seed", "n", "response_format", "user", "timeout_seconds"}
}

// notYet are fields of the surface that are not built: named so that the
// answer can say so.
var notYet = []string{"webhook_url", "webhook_headers", "webhook_metadata", "webhook_events", "webhook_format",
	"style", "quality", "image", "mask", "operation", "negative_prompt", "input_reference", "stream"}

// onlyValues are the values of fields that models make nothing of yet: those
// that stand for what is done anyway. Any other is refused, never dropped.
var onlyValues = map[string][]string{"quality": {"auto", "standard"}, "operation": {"generate"}}

// otherNames are what other services call our fields.
var otherNames = map[string]string{"seconds": "duration", "length": "duration", "frame_rate": "fps", "framerate": "fps",
	"width": "size", "height": "size", "resolution": "size", "text": "prompt", "timeout": "timeout_seconds",
	"count": "n", "num_images": "n", "format": "response_format"}

// parseCreate makes a task.Request of a body: every field checked, every
// default filled in. Of the fields of the surface only those of the request
// line and headers are missing: KeyID, BaseURL, idempotency.
func parseCreate(o object, kind provider.Kind, catalog *provider.Catalog) (task.Request, error) {
	if err := checkNames(o, fieldsOf(kind)); err != nil {
		return task.Request{}, err
	}
	q := task.Request{Kind: task.Kind(kind)}
	var err error
	if q.Prompt, err = o.text("prompt", maxPrompt); err != nil {
		return task.Request{}, err
	}
	if !o.given("prompt") {
		return task.Request{}, &problem{Status: http.StatusBadRequest, Code: "missing_parameter", Param: "prompt",
			Message: "'prompt' is missing."}
	}
	if strings.TrimSpace(q.Prompt) == "" {
		return task.Request{}, badRequest("prompt", "'prompt' is empty.")
	}
	m, err := chooseModel(o, kind, catalog)
	if err != nil {
		return task.Request{}, err
	}
	q.Model = m.ID
	if p, ok := catalog.Provider(m.ID); ok {
		q.Provider = p.Name()
	}
	if err := parseShape(o, m, &q); err != nil {
		return task.Request{}, err
	}
	if err := parseRest(o, &q); err != nil {
		return task.Request{}, err
	}
	q.RequestHash = hashOf(o, kind)
	return q, nil
}

// checkNames refuses the first field that is not one of known.
func checkNames(o object, known []string) error {
	for _, name := range o.names {
		if slices.Contains(known, name) {
			continue
		}
		if slices.Contains(notYet, name) || strings.HasPrefix(name, "webhook_") {
			return unsupported(shown(name), "'%s' is not supported yet.", shown(name))
		}
		if meant := didYouMean(name, known); meant != "" {
			return unsupported(shown(name), "'%s' is not a parameter of this request. Did you mean '%s'?", shown(name), meant)
		}
		return unsupported(shown(name), "'%s' is not a parameter of this request. It knows: %s.", shown(name), strings.Join(known, ", "))
	}
	return nil
}

// didYouMean is the known name that name is most like, or "".
func didYouMean(name string, known []string) string {
	if len(name) > 40 {
		return ""
	}
	flat := strings.ToLower(strings.ReplaceAll(name, "-", "_"))
	if other := otherNames[flat]; slices.Contains(known, other) {
		return other
	}
	best, least := "", 3
	for _, k := range known {
		if d := levenshtein.ComputeDistance(strings.ReplaceAll(flat, "_", ""), strings.ReplaceAll(k, "_", "")); d < least && 2*d <= len(k) {
			best, least = k, d
		}
	}
	return best
}

func chooseModel(o object, kind provider.Kind, catalog *provider.Catalog) (provider.Model, error) {
	name, err := o.text("model", maxModel)
	if err != nil {
		return provider.Model{}, err
	}
	if !o.given("model") {
		m, ok := catalog.Default(kind)
		if !ok {
			return provider.Model{}, &problem{Status: http.StatusBadRequest, Code: "missing_parameter", Param: "model",
				Message: fmt.Sprintf("'model' is missing, and there is none for %ss.", kind)}
		}
		return m, nil
	}
	m, ok := catalog.Find(name)
	switch {
	case !ok:
		return provider.Model{}, modelNotFound(name)
	case m.Kind != kind:
		return provider.Model{}, badRequest("model", "The model '%s' makes %ss, not %ss.", m.ID, m.Kind, kind)
	}
	return m, nil
}

func modelNotFound(name string) *problem {
	return &problem{Status: http.StatusNotFound, Code: "model_not_found", Param: "model",
		Message: fmt.Sprintf("There is no model '%s'. GET /v1/models lists those that there are.", shown(name))}
}

// parseShape reads size, duration, rate and number, and holds them and the
// prompt against the model's limits.
func parseShape(o object, m provider.Model, q *task.Request) error {
	size, err := o.text("size", 64)
	if err != nil {
		return err
	}
	r := provider.Request{Kind: m.Kind, Prompt: q.Prompt}
	if o.given("size") {
		parts := sizePattern.FindStringSubmatch(size)
		if parts == nil {
			return badRequest("size", "'size' must be width and height in pixels, such as '%dx%d'.", m.Limits.DefaultWidth, m.Limits.DefaultHeight)
		}
		r.Width, _ = strconv.Atoi(parts[1]) // at most five digits
		r.Height, _ = strconv.Atoi(parts[2])
	}
	var duration, fps int64
	if m.Kind == provider.Video {
		if duration, err = o.integer("duration", 1, maxDuration, 0); err != nil {
			return err
		}
		if fps, err = o.integer("fps", 1, maxFPS, 0); err != nil {
			return err
		}
	}
	n, err := o.integer("n", 1, maxN, 1)
	if err != nil {
		return err
	}
	if n > 1 && m.Kind == provider.Video {
		return unsupported("n", "'n' above 1 is not supported for videos yet.")
	}
	r.Duration, r.FPS, r.N = int(duration), int(fps), int(n)
	r = m.WithDefaults(r)
	if err := m.Check(r); err != nil {
		var limit *provider.LimitError
		if errors.As(err, &limit) {
			return badRequest(limit.Field, "%s.", limit.Message)
		}
		return fmt.Errorf("check against the model's limits: %w", err)
	}
	q.Width, q.Height, q.Duration, q.FPS, q.N = r.Width, r.Height, r.Duration, r.FPS, r.N
	return nil
}

// parseRest reads what no model has a limit for.
func parseRest(o object, q *task.Request) error {
	var err error
	if q.Seed, err = o.integer("seed", math.MinInt64, math.MaxInt64, rand.Int64N(randomSeeds)); err != nil {
		return err
	}
	format, err := o.text("response_format", 64)
	if err != nil {
		return err
	}
	switch {
	case !o.given("response_format") || format == formatURL:
		q.ResponseFormat = formatURL
	case format == formatBase64 && q.Kind == task.Image:
		q.ResponseFormat = formatBase64
	case format == formatBase64:
		return unsupported("response_format", "'response_format' b64_json is not supported for videos; results are links.")
	default:
		return badRequest("response_format", "'response_format' must be 'url', or for images 'b64_json'.")
	}
	for _, name := range []string{"quality", "operation"} { // videos have neither
		v, err := o.text(name, 64)
		if err != nil {
			return err
		}
		if only := onlyValues[name]; o.given(name) && !slices.Contains(only, v) {
			return unsupported(name, "'%s' other than '%s' is not supported yet.", name, strings.Join(only, "' or '"))
		}
	}
	if q.User, err = o.text("user", maxUser); err != nil {
		return err
	}
	seconds, err := o.integer("timeout_seconds", 1, maxTimeout, 0)
	q.Timeout = time.Duration(seconds) * time.Second // the service takes the lower of this and its own
	return err
}

// hashOf is the hash over the fields that were given (rest-api B.2): the order
// and the spelling of the body do not count, and neither does a field that is
// null.
func hashOf(o object, kind provider.Kind) string {
	fields := map[string]any{}
	for _, name := range o.names {
		if !o.given(name) {
			continue
		}
		var v any = string(o.values[name]) // a number, already checked
		if o.values[name][0] == '"' {
			var s string
			_ = json.Unmarshal(o.values[name], &s) // checked as well
			v = []string{s}
		}
		fields[name] = v
	}
	data, err := json.Marshal([]any{kind, fields}) // maps are sorted
	if err != nil {                                // strings alone cannot fail
		panic(err)
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// parseIdempotency reads the headers of rest-api B.7.
func parseIdempotency(h http.Header) (idempotencyKey string, retry bool, err error) {
	values := h.Values("Idempotency-Key")
	if len(values) > 1 {
		return "", false, badRequest("", "There is more than one Idempotency-Key.")
	}
	if len(values) == 1 {
		idempotencyKey = values[0]
		if len(idempotencyKey) == 0 || len(idempotencyKey) > maxIdempotencyKey {
			return "", false, badRequest("", "The Idempotency-Key must have 1 to %d characters.", maxIdempotencyKey)
		}
		for i := range len(idempotencyKey) {
			if c := idempotencyKey[i]; c < ' ' || c >= 0x7f {
				return "", false, badRequest("", "The Idempotency-Key must be printable ASCII.")
			}
		}
	}
	// Garbage in this hint of the clients' own counts as no hint.
	n, err := strconv.Atoi(h.Get("X-Stainless-Retry-Count"))
	return idempotencyKey, err == nil && n > 0, nil
}

// create is POST of either kind: 202 with the task, or with the one that the
// same request made before.
func (h *Handler) create(w http.ResponseWriter, r *http.Request, kind provider.Kind) error {
	_, t, created, err := h.submit(w, r, kind, formatURL)
	if err != nil {
		return err
	}
	return h.accept(w, r, t, created)
}

// submit makes a task of a request, whose results are to come in one of
// formats. created is false when an earlier request made it.
func (h *Handler) submit(w http.ResponseWriter, r *http.Request, kind provider.Kind, formats ...string) (p key.Principal, t task.Task, created bool, err error) {
	if p, err = wholeKey(r); err != nil {
		return p, t, false, err
	}
	idempotencyKey, retry, err := parseIdempotency(r.Header)
	if err != nil {
		return p, t, false, err
	}
	body, err := readObject(w, r, h.o.RequestTimeout)
	if err != nil {
		return p, t, false, err
	}
	q, err := parseCreate(body, kind, h.o.Catalog)
	if err != nil {
		return p, t, false, err
	}
	if !slices.Contains(formats, q.ResponseFormat) {
		return p, t, false, unsupported("response_format", "The results of an asynchronous request are links; '%s' is for POST /v1/images/generations.", q.ResponseFormat)
	}
	q.KeyID, q.BaseURL = p.KeyID, h.origin(r)
	q.IdempotencyKey, q.RetryAttempt = idempotencyKey, retry
	t, created, err = h.o.Tasks.Submit(r.Context(), q)
	h.tellQuota(w, r, p.KeyID, err)
	return p, t, created, err
}

// tellQuota sets the headers that tell a client how many more tasks it may
// submit (rest-api B.7), after a submission that ended with refused.
func (h *Handler) tellQuota(w http.ResponseWriter, r *http.Request, keyID string, refused error) {
	if refused != nil && !errors.Is(refused, task.ErrTooMany) {
		return
	}
	limit, left, err := h.o.Tasks.Quota(r.Context(), keyID)
	if err != nil {
		return // the answer itself matters more
	}
	reset := time.Duration(0)
	if refused != nil {
		left, reset = 0, tryAgainTooMany
	}
	w.Header().Set("X-Ratelimit-Limit-Requests", strconv.Itoa(limit))
	w.Header().Set("X-Ratelimit-Remaining-Requests", strconv.Itoa(left))
	w.Header().Set("X-Ratelimit-Reset-Requests", reset.String())
}

// accept answers 202 with a task, which an earlier request made unless created.
func (h *Handler) accept(w http.ResponseWriter, r *http.Request, t task.Task, created bool) error {
	if !created {
		w.Header().Set("Idempotent-Replayed", "true")
	}
	return writeJSON(w, http.StatusAccepted, h.accepted(r, t))
}
