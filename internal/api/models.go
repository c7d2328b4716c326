package api

import (
	"net/http"
	"strconv"

	"github.com/knnlabs/conduit/internal/provider"
)

// modelView is a model as OpenAI's clients know it, with our extension
// (rest-api B.6).
type modelView struct {
	ID      string       `json:"id"`
	Object  string       `json:"object"` // "model"
	Created int64        `json:"created"`
	OwnedBy string       `json:"owned_by"`
	Conduit modelConduit `json:"conduit"`
}

type modelConduit struct {
	Kind     provider.Kind `json:"kind"`
	Default  bool          `json:"default"` // taken when a request of this kind names no model
	Features []string      `json:"features"`
	Size     sizeView      `json:"size"`
	Duration *rangeView    `json:"duration"` // seconds; null for images
	FPS      *rangeView    `json:"fps"`      // null for images
	MaxN     int           `json:"max_n"`
	Prompt   int           `json:"max_prompt"` // characters
}

type sizeView struct {
	Min      int    `json:"min"`
	Max      int    `json:"max"`
	Multiple int    `json:"multiple"`
	Default  string `json:"default"`
}

type rangeView struct {
	Min     int `json:"min"`
	Max     int `json:"max"`
	Default int `json:"default"`
}

func viewOf(m provider.Model) modelView {
	l := m.Limits
	v := modelView{ID: m.ID, Object: "model", Created: m.Created, OwnedBy: m.OwnedBy, Conduit: modelConduit{
		Kind: m.Kind, Default: m.Default, Features: m.Features, MaxN: max(l.MaxN, 1), Prompt: maxPrompt,
		Size: sizeView{Min: l.MinSize, Max: l.MaxSize, Multiple: max(l.SizeMultiple, 1),
			Default: strconv.Itoa(l.DefaultWidth) + "x" + strconv.Itoa(l.DefaultHeight)},
	}}
	if v.Conduit.Features == nil {
		v.Conduit.Features = []string{}
	}
	if l.MaxPrompt > 0 && l.MaxPrompt < maxPrompt {
		v.Conduit.Prompt = l.MaxPrompt
	}
	if m.Kind == provider.Video {
		v.Conduit.MaxN = 1
		v.Conduit.Duration = &rangeView{Min: l.MinDuration, Max: min(l.MaxDuration, maxDuration), Default: l.DefaultDuration}
		v.Conduit.FPS = &rangeView{Min: l.MinFPS, Max: min(l.MaxFPS, maxFPS), Default: l.DefaultFPS}
	}
	return v
}

func (h *Handler) listModels(w http.ResponseWriter, r *http.Request) error {
	list := struct {
		Object string      `json:"object"`
		Data   []modelView `json:"data"`
	}{Object: "list", Data: []modelView{}}
	for _, m := range h.o.Catalog.List() {
		list.Data = append(list.Data, viewOf(m))
	}
	return writeJSON(w, http.StatusOK, list)
}

// getModel finds ids with a slash too, escaped or not.
func (h *Handler) getModel(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	m, ok := h.o.Catalog.Find(id)
	if !ok {
		return modelNotFound(id)
	}
	return writeJSON(w, http.StatusOK, viewOf(m))
}
