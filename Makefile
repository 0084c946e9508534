# `make demo` and `make test` are all the set-up there is: each creates .venv when it is missing.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
FOOTAGE := examples/footage

# Further Blender versions that `make test-blender` runs the scene tests on; the bpy in constraints.txt is in `make test`.
BLENDER_VERSIONS ?= 4.2.23 5.0.1

.PHONY: demo test test-blender extension bench bench-tracking lint clean

demo: $(VENV)/ready
	mkdir -p out
	$(BIN)/aios run $(FOOTAGE)/astronaut.jpg -o out/astronaut.blend --preview out/astronaut.png
	$(BIN)/aios run $(FOOTAGE)/plaza.mp4 -o out/plaza.blend --preview out/plaza.mp4
	$(BIN)/python examples/describe.py out/astronaut.npz out/plaza.npz
	@ls -l out

test: $(VENV)/ready
	$(BIN)/python -m pytest

test-blender:
	for version in $(BLENDER_VERSIONS); do \
		$(PYTHON) -m venv $(VENV)-bpy-$$version && \
		$(VENV)-bpy-$$version/bin/python -m pip install -q bpy==$$version numpy==1.26.4 pytest hypothesis && \
		$(VENV)-bpy-$$version/bin/python -m pytest -p no:cacheprovider tests/blender/test_scene.py || exit 1; \
	done

extension: $(VENV)/ready
	$(BIN)/python tools/build_extension.py --output dist

bench: $(VENV)/ready
	$(BIN)/python -m benchmarks

# The trackers that ours is compared with need numpy 2, bpy 4.5 needs numpy 1: they get an environment of their own.
bench-tracking: $(VENV)-tracking/ready
	$(VENV)-tracking/bin/python -m benchmarks.tracking
	$(VENV)-tracking/bin/python -m benchmarks.motion --plot docs/images/motion.png

$(VENV)-tracking/ready: constraints-tracking.txt
	$(PYTHON) -m venv $(VENV)-tracking
	$(VENV)-tracking/bin/python -m pip install -q -r constraints-tracking.txt
	touch $@

lint: $(VENV)/ready
	$(BIN)/python -m pip install -q -c constraints.txt ruff
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

$(VENV)/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[blender,train,test]'
	# trackeval asks for numpy 2 but runs with the numpy 1 that bpy 4.5 needs.
	$(BIN)/python -m pip install -q --no-deps -c constraints.txt trackeval
	touch $@

clean:
	rm -rf $(VENV) $(VENV)-bpy-* $(VENV)-tracking out dist build *.egg-info
