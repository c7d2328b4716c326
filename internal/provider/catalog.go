package provider

import (
	"fmt"
	"slices"
)

// Catalog is the list of models that can be asked for, over all providers. It
// does not change once made and is safe for concurrent use.
type Catalog struct {
	models    []Model
	providers map[string]Provider // by model id
}

// NewCatalog collects the models of providers, in the order given. Two models
// of one id, or two defaults of one kind, are a mistake of the configuration
// and returned as an error.
func NewCatalog(providers ...Provider) (*Catalog, error) {
	c := &Catalog{providers: make(map[string]Provider)}
	defaults := make(map[Kind]string)
	for _, p := range providers {
		for _, m := range p.Models() {
			if other, ok := c.providers[m.ID]; ok {
				return nil, fmt.Errorf("provider: model %q is offered by both %s and %s", m.ID, other.Name(), p.Name())
			}
			if m.Default {
				if other, ok := defaults[m.Kind]; ok {
					return nil, fmt.Errorf("provider: both %q and %q are the default %s model", other, m.ID, m.Kind)
				}
				defaults[m.Kind] = m.ID
			}
			c.models = append(c.models, m)
			c.providers[m.ID] = p
		}
	}
	return c, nil
}

// List returns all models, in order. The slice is the caller's.
func (c *Catalog) List() []Model { return slices.Clone(c.models) }

// Find returns the model of an id; ids are compared exactly.
func (c *Catalog) Find(id string) (Model, bool) {
	for _, m := range c.models {
		if m.ID == id {
			return m, true
		}
	}
	return Model{}, false
}

// Default returns the model that is taken when a request of this kind names
// none: the one marked so, else the first of the kind.
func (c *Catalog) Default(k Kind) (Model, bool) {
	first := -1
	for i, m := range c.models {
		if m.Kind != k {
			continue
		}
		if m.Default {
			return m, true
		}
		if first < 0 {
			first = i
		}
	}
	if first < 0 {
		return Model{}, false
	}
	return c.models[first], true
}

// Provider returns the provider that serves a model.
func (c *Catalog) Provider(modelID string) (Provider, bool) {
	p, ok := c.providers[modelID]
	return p, ok
}
