package api

import (
	"net/http"

	"github.com/knnlabs/conduit/internal/key"
)

// routes is the whole surface. Every pattern names its method: some would
// contradict each other without (rest-api C.2).
func (h *Handler) routes() http.Handler {
	var (
		video  = key.Require(key.ScopeVideo)
		image  = key.Require(key.ScopeImage)
		either = key.Require(key.ScopeVideo, key.ScopeImage) // which one: by the task's kind
		admin  = key.Require(key.ScopeAdmin)
		anyKey = key.Require()
	)
	mux := http.NewServeMux()
	for _, route := range []struct {
		pattern string
		needs   func(http.Handler) http.Handler // nil: no key
		serve   handlerFunc
	}{
		{"POST /v1/videos/generations/async", video, h.createVideo},
		{"GET /v1/videos/generations/tasks/{id}", video, h.getVideo},
		{"DELETE /v1/videos/generations/tasks/{id}", video, h.deleteVideo},
		{"DELETE /v1/videos/generations/{id}", video, h.deleteVideo},
		{"POST /v1/videos/generations/tasks/{id}/retry", video, h.retryVideo},

		{"POST /v1/images/generations", image, h.generateImages},
		{"POST /v1/images/generations/async", image, h.createImage},
		{"GET /v1/images/generations/{id}/status", image, h.getImage},
		{"DELETE /v1/images/generations/{id}", image, h.deleteImage},
		{"POST /v1/images/generations/{id}/retry", image, h.retryImage},

		{"GET /v1/tasks", either, h.listTasks},
		{"GET /v1/tasks/{id}", either, h.getTask},
		{"POST /v1/tasks/{id}/cancel", either, h.cancelTask},
		{"GET /v1/tasks/{id}/events", either, h.taskEvents},
		{"GET /v1/tasks/{id}/poll", either, h.pollTask}, // of the older gateway

		{"GET /v1/models", anyKey, h.listModels},
		{"GET /v1/models/{id...}", anyKey, h.getModel},

		{"GET /v1/admin/abnormal", admin, h.abnormal},

		{"GET /v1/media/{key...}", nil, h.getMedia}, // the signature is the permission
	} {
		next := h.answering(route.serve)
		if route.needs != nil {
			next = h.authenticate(route.needs(next))
		}
		mux.Handle(route.pattern, next)
	}
	return h.guard(h.orUnknown(mux))
}

func (h *Handler) authenticate(next http.Handler) http.Handler {
	if h.o.Authenticate == nil {
		return next
	}
	return h.o.Authenticate(next)
}
