package server

import (
	"context"

	"github.com/knnlabs/conduit/internal/media"
	"github.com/knnlabs/conduit/internal/provider"
	"github.com/knnlabs/conduit/internal/task"
)

// providers are all services that generate media.
func (s *Server) providers() ([]provider.Provider, error) {
	return nil, nil
}

func (s *Server) newWorkers(*task.Service, []provider.Provider, media.Store) (workers, error) {
	return noWorkers{}, nil
}

type noWorkers struct{}

func (noWorkers) Start(context.Context) error { return nil }
func (noWorkers) Stop(context.Context) error  { return nil }
